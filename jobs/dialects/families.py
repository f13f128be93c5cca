"""Families of column types, by the names of types in all databases."""

import re
from typing import Literal, TypeAlias

Family: TypeAlias = Literal[
    "integer", "float", "decimal", "boolean", "text", "enum", "instant", "timestamp", "date", "uuid", "other", "unknown"
]
"""The kind of values that a column is declared to hold; an instant is a timestamp with a time zone."""

NUMBERS: frozenset[Family] = frozenset({"integer", "float", "decimal"})
TIMES: frozenset[Family] = frozenset({"instant", "timestamp", "date"})

# The first match counts.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"^(null)?$", "unknown"),
    (r"\[\d*\]$|\barray\b|^set\b", "other"),
    (r"^enum\b", "enum"),
    (r"bool", "boolean"),
    (r"^(timestamp.* with time zone|timestamptz|datetimeoffset)", "instant"),
    (r"^(timestamp|datetime)", "timestamp"),
    (r"^date$", "date"),
    (r"\b(tiny|small|medium|big)?(int|integer)\d?\b|serial", "integer"),
    (r"double|real|float", "float"),
    (r"numeric|decimal|money|number", "decimal"),
    (r"^uuid|uniqueidentifier", "uuid"),
    (r"char|text|clob|string|^name$", "text"),
)


def family_of(declared_type: str) -> Family:
    """Return the family of a declared type."""
    return next((family for pattern, family in _FAMILIES if re.search(pattern, declared_type.lower())), "other")
