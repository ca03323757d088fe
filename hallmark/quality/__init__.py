"""Measurements, expectations, duplicates, outliers and label errors."""
