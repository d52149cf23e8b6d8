"""Timings against other ways to compute the same: `python -m benchmarks`."""
