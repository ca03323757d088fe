"""What all rooms share: names, tables, errors, value checks, seeds, atomic writes, telemetry."""
