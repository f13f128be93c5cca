"""Benchmark of speed and memory: reading, scoring and both together, each compared with a limit or a peer."""
