"""What applications leave in memory-mapped files, read every interval."""
