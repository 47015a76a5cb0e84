"""A table of containers for people, and the terminal that it stands on."""
