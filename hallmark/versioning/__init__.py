"""Data versions: what changed, what can be restored, what is recorded."""
