"""Imports files of records into tables."""
