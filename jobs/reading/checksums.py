"""Checksums of key ranges, to detect changed records without rereading them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement

if TYPE_CHECKING:
    from jobs.reading.table import WatchedTable
    from schemas.config import MonitorConfig


def checksums(table: "WatchedTable", monitor: "MonitorConfig") -> list[ColumnElement[Any]]:
    """Return an integer expression for each of key and time of change that the database can sum up."""
    columns: Sequence[str] = (*monitor.key, *([monitor.updated] if monitor.updated else []))
    numbers = (
        table.dialect.checksum(table.records.c[name], table.columns[name].family) for name in dict.fromkeys(columns)
    )
    return [number for number in numbers if number is not None]
