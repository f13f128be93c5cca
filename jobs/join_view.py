"""Builds the view of a monitor's flagged rows next to their records."""

import logging

from jobs.reading.source import Source
from jobs.store import Store
from schemas.errors import SourceError, StoreError

_log = logging.getLogger("plumbline")


def join_anomalies(store: Store, source: Source) -> str | None:
    """Build the view for a new champion and return its name, or None in separate databases.

    A failure is only logged: the champion stands.
    """
    try:
        return store.create_join_view(source.name, source)
    except (SourceError, StoreError) as exc:
        _log.warning("no view of the flagged rows of monitor %s next to their records: %s", source.name, exc)
        return None
