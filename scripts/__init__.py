"""Checks of the repository that `make` runs."""
