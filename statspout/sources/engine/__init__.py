"""The Docker Engine API: client, collector, decoding."""
