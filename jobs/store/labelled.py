"""The condition of labelled rows, in the form of their partial index."""

from sqlalchemy import ColumnElement, literal_column

from schemas.tables import anomalies


def is_labelled() -> ColumnElement[bool]:
    """Return the condition that a flagged row has a label; SQLite's planner compares its text with the index."""
    return anomalies.c.label != literal_column("'open'")
