"""The one HTTP server: whatever has routes is mounted on it."""
