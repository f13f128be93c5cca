"""Fingerprints of key ranges, to detect changes without rereading the records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement

if TYPE_CHECKING:
    from jobs.reading.table import WatchedTable
    from schemas.config import MonitorConfig


@dataclass(frozen=True)
class Fingerprint:
    """The number of records in a key range, and a checksum of them."""

    records: int
    checksum: str | None = None
    """Of their keys and times of change; None if the database cannot sum them up."""

    def differs_from(self, earlier: "Fingerprint") -> bool:
        """Return whether records came, went or changed since then."""
        has_checksums = None not in {self.checksum, earlier.checksum}
        return self.records != earlier.records or (has_checksums and self.checksum != earlier.checksum)


def checksums(table: "WatchedTable", monitor: "MonitorConfig") -> list[ColumnElement[Any]]:
    """Return an integer expression for each of key and time of change that the database can sum up."""
    columns: Sequence[str] = (*monitor.key, *([monitor.updated] if monitor.updated else []))
    numbers = (
        table.dialect.checksum(table.records.c[name], table.columns[name].family) for name in dict.fromkeys(columns)
    )
    return [number for number in numbers if number is not None]
