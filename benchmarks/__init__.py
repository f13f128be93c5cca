"""Benchmarks of the detector against its peers on labelled tables."""
