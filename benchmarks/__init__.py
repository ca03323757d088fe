"""Scripts that measure; each prints the figures that docs/performance.md holds."""
