"""Benchmark scripts; each prints figures of docs/performance.md."""
