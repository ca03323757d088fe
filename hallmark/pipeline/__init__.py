"""Stages as data, params, execution, telemetry."""
