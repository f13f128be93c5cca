"""Finds records that came late, were corrected or vanished, and sources that stopped sending records."""

from collections.abc import Callable
from datetime import datetime

from jobs.reading.source import Source
from jobs.store import Store
from jobs.store.events import NewEvent
from jobs.store.recounting import DoneBatch, LateRecords, Recount
from jobs.wording import utc
from schemas.config import MonitorConfig

_BATCHES_PER_PAGE = 50


def recount_batches(
    source: Source, store: Store, clock: Callable[[], datetime], should_stop: Callable[[], bool]
) -> LateRecords:
    """Recount the batches whose count is due, and reopen those that changed.

    Args:
        source: the watched table.
        store: the service's own database.
        clock: the time now.
        should_stop: called before each page of batches.
    """
    late, due_at = LateRecords(), clock()
    channels = source.monitor.channels
    while not should_stop() and (due := store.recounting.due(source.name, due_at, clock(), _BATCHES_PER_PAGE)):
        counted = [recount(batch, source) for batch in due]
        late += store.recounting.record(source.name, counted, clock(), channels)
    return late


def recount(batch: DoneBatch, source: Source) -> Recount:
    """Recount a batch; it is reopened if it changed and was still watched at its last count."""
    fingerprint = source.fingerprint(batch.key_range)
    is_watched = batch.recounted_at < batch.planned_at + source.monitor.late_after
    return Recount(batch, fingerprint, is_watched)


def watch_for_gap(monitor: MonitorConfig, name: str, store: Store, at: datetime) -> None:
    """Open an event if the newest record is older than `gap_after`, and close it once records come again."""
    newest = store.ledger.scored_until(name)
    if newest is None:
        return
    # Records that have not settled are not scored yet; they are no gap.
    if newest >= at - monitor.gap_after - monitor.settle:
        store.events.close("gap", name, at)
        return
    message = f"The newest record of monitor {name!r} is of {utc(newest)}: its source stopped sending."
    store.events.open(NewEvent("gap", message, name, since=newest), at, monitor.channels)
