"""Assigning images to train, validation and test."""
