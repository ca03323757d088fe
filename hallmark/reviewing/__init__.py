"""Suspects before a person's eyes: a page on this machine alone, and the decisions it writes."""
