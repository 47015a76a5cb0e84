"""What applications say of themselves."""
