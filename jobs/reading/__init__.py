"""Reads the records of watched tables."""
