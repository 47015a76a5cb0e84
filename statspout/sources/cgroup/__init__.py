"""What the kernel itself keeps of each container: its files are read, and no engine is asked."""
