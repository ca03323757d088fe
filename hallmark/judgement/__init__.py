"""Metrics with intervals, calibration, robustness, slices, and the promotion gate."""
