"""Metrics with intervals, calibration, robustness, slices."""
