"""What all rooms share: names, tables, errors, checks of values, seeds, atomic writes, telemetry."""
