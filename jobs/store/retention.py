"""Retention: deletes what is older than a monitor keeps, and merges old batches of the ledger.

Never deleted is what is open, labelled, or needed to score again or to detect changed and late records: pending work,
ongoing events, flagged rows unless the configuration limits them, the newest row of each kind that scheduling and
metrics start from, and the fingerprints of all batches.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from sqlalchemy import Engine

from jobs.databases import reading
from jobs.store.expired_details import expired_details
from jobs.store.expired_models import expired_models
from jobs.store.expired_rows import expired_rows, expired_rows_of_service
from jobs.store.ledger_merging import merging
from jobs.store.portions import Deletion
from jobs.store.retention_limits import RetentionLimits, settled_before_batch


class Retention:
    """The deletion of old rows of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def preview(self, limits: RetentionLimits) -> Mapping[str, int]:
        """Return the number of rows of each kind that `prune` would delete or merge now."""
        with reading(self.engine) as connection:
            counts = {item.kind: item.count(connection) for item in self._deletions(limits)}
        return {kind: count for kind, count in counts.items() if count}

    def prune(self, limits: RetentionLimits, should_stop: Callable[[], bool] = lambda: False) -> Mapping[str, int]:
        """Delete the old rows of a monitor in small transactions, and return their number by kind.

        Args:
            limits: what the monitor keeps.
            should_stop: called after each transaction; if it returns true, the rest is left to the next call.
        """
        return _run(self._deletions(limits), self.engine, should_stop)

    def prune_service(self, keep_after: datetime) -> Mapping[str, int]:
        """Delete events and alerts of the service itself that are older than a time."""
        return _run(iter(expired_rows_of_service(keep_after)), self.engine, lambda: False)

    def preview_service(self, keep_after: datetime) -> Mapping[str, int]:
        """Return the number of rows of each kind that `prune_service` would delete now."""
        with reading(self.engine) as connection:
            counts = {item.kind: item.count(connection) for item in expired_rows_of_service(keep_after)}
        return {kind: count for kind, count in counts.items() if count}

    def _deletions(self, limits: RetentionLimits) -> Iterator[Deletion]:
        """Yield the deletions in their order: details before the batches and models that they belong to."""
        with reading(self.engine) as connection:
            bounds = settled_before_batch(connection, limits)
        yield from expired_details(limits, bounds)
        yield merging(limits, bounds)
        yield from expired_rows(limits)
        yield from expired_models(limits)


def _run(deletions: Iterator[Deletion], engine: Engine, should_stop: Callable[[], bool]) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for item in deletions:
        for deleted in item.portions(engine):
            counts[item.kind] += deleted
            if should_stop():
                return dict(counts)
    return {kind: count for kind, count in counts.items() if count}
