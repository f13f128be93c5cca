"""Lengths of names: SQLAlchemy shortens those in subqueries that come within six characters of the longest name."""

from typing import Any

_MARGIN = 6
_LONGEST_OF_POSTGRESQL = 63
_LONGEST_OF_DUCKDB = 10_000  # it has no limit

POSTGRESQL: dict[str, Any] = {"max_identifier_length": _LONGEST_OF_POSTGRESQL + _MARGIN}
DUCKDB: dict[str, Any] = {"max_identifier_length": _LONGEST_OF_DUCKDB}
