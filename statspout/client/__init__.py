"""What an application imports to report its numbers. Only the standard library, and nothing else of statspout."""
