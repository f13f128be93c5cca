"""Scoring: new records, late ones and history, batch by batch."""
