"""Safely, in order, to each repository: queue, batch, retry."""
