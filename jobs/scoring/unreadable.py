"""Finds unreadable records that were corrected or removed since, so that their batches are rescored."""

from datetime import datetime

from jobs.reading.source import Source
from jobs.store import Store
from schemas.unreadable import UnreadableRecord

_MAX_RECORDS_CHECKED = 1_000  # in one run, those first that were checked longest ago


def reopen_corrected(source: Source, store: Store, at: datetime) -> int:
    """Read the unreadable records of finished batches again, reopen batches of corrected ones, and return their number.

    Raises:
        SourceError: If the watched table cannot be read.
    """
    waiting = store.unreadable.waiting(source.name, _MAX_RECORDS_CHECKED)
    if not waiting:
        return 0
    left_out: list[UnreadableRecord] = []
    source.read_keys([item.key for item in waiting], left_out)
    unreadable = {item.key for item in left_out}
    corrected = [item for item in waiting if item.key not in unreadable]
    return store.unreadable.record_check(source.name, waiting, corrected, at)
