"""Creates the view that joins a monitor's flagged rows with their records."""

import logging

from jobs.reading.source import Source
from jobs.store import Store
from schemas.errors import SourceError, StoreError

_log = logging.getLogger("plumbline")


def join_anomalies(store: Store, source: Source) -> str | None:
    """Create the view for a new champion and return its name, or None if the databases are separate.

    A failure is only logged: the champion stays in force.
    """
    try:
        return store.create_join_view(source.name, source)
    except (SourceError, StoreError) as exc:
        _log.warning("could not create the join view of monitor %s: %s", source.name, exc)
        return None
