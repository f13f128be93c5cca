"""Benchmark of speed and memory: reading, scoring and both together, compared with a limit or a peer of the same run."""
