"""Differences between kinds of database, in one class for each.

A new dialect is a module with a subclass of `Dialect` that overrides what its database does differently, and a line in
the table below. Databases without one are read and written by `Dialect` itself, in plain SQL.
A dialect is imported when it is first used.
"""

from collections.abc import Mapping
from importlib import import_module

from sqlalchemy import URL, Connection, Engine

from jobs.dialects.base import END_OF_VALID_TIMES, FIRST_VALID_TIME, TIMEOUTS, Dialect, EpochTimes, Index, Reader
from jobs.dialects.families import Family
from jobs.dialects.time_texts import read_times

__all__ = [
    "END_OF_VALID_TIMES",
    "FIRST_VALID_TIME",
    "TIMEOUTS",
    "Dialect",
    "EpochTimes",
    "Family",
    "Index",
    "Reader",
    "dialect_of",
    "read_times",
]

_DIALECTS: Mapping[str, tuple[str, str]] = {  # module and class
    "sqlite": ("sqlite", "SQLite"),
    "postgresql": ("postgresql", "PostgreSQL"),
    "postgres": ("postgresql", "PostgreSQL"),
    "mysql": ("mysql", "MySQL"),
    "mariadb": ("mysql", "MySQL"),
    "duckdb": ("duckdb", "DuckDB"),
}


def dialect_of(database: Engine | Connection | URL) -> Dialect:
    """Return the dialect of a database.

    >>> from sqlalchemy import make_url
    >>> dialect_of(make_url("sqlite:///plumbline.db"))
    SQLite(name='sqlite')
    """
    name = database.get_backend_name() if isinstance(database, URL) else database.dialect.name
    return _class_of(name)(name)


def _class_of(name: str) -> type[Dialect]:
    module, class_name = _DIALECTS.get(name, ("base", "Dialect"))
    dialect: type[Dialect] = getattr(import_module(f"jobs.dialects.{module}"), class_name)
    return dialect
