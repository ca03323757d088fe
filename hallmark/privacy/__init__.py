"""Differentially private training: accounting, keys, sampling, noise, clipping, and the statement of what holds."""
