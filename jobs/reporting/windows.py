"""The records around an incident, or of a selection: bounded in number, in the order of their keys."""

from dataclasses import replace

import numpy as np
import pandas as pd

from jobs.kinds import kind_of
from jobs.reading.rows import concatenated, in_key_order
from jobs.reading.source import Source, keys_of
from jobs.reading.windows import Window
from jobs.reporting.selection import Selection
from jobs.store import IncidentQuery, Store, StoredIncident
from schemas.errors import UsageError

MAX_RECORDS = 2_000  # of an incident, or of a selection of single records
MAX_SERIES_RECORDS = 600  # of a selection of a series without a range of time
MIN_AROUND, MAX_AROUND = 72, 400  # records before and after an incident


def around_incident(source: Source, incident: StoredIncident) -> pd.DataFrame:
    """Return the newest records of an incident, with as many records before and after it.

    Raises:
        UsageError: If the table is empty.
    """
    monitor = source.monitor
    with_label = monitor.label is not None
    if monitor.time is None:
        return _not_empty(source.read_window(Window(), MAX_RECORDS, with_label=with_label), source)
    entity = incident.entity if scores_by_entity(source) else None
    during = Window(incident.start_time, incident.end_time, entity)
    inside = source.read_window(during, MAX_RECORDS, with_label=with_label)
    around = min(max(len(inside), MIN_AROUND), MAX_AROUND) if entity else MAX_AROUND
    before = source.read_window(Window(until=incident.start_time, entity=entity), around, with_label=with_label)
    after = Window(since=incident.end_time, entity=entity, from_start=True)
    parts = [before, inside, source.read_window(after, around, with_label=with_label)]
    if not any(map(len, parts)):  # an incident of records without a time has the time of their scoring
        return _not_empty(source.read_window(Window(), MAX_RECORDS, with_label=with_label), source)
    return _merged(parts, source)


def of_selection(source: Source, store: Store, selection: Selection) -> pd.DataFrame:
    """Return the newest records of a selection.

    Raises:
        UsageError: If there are none.
    """
    window = Window(selection.since, selection.until, selection.entity)
    is_series = bool(kind_of(source.monitor).past_columns(source.monitor))
    limit = MAX_SERIES_RECORDS if is_series and selection.since is None else MAX_RECORDS
    if selection.entity is None and scores_by_entity(source):
        window = replace(window, entity=_entity_to_show(source, store, window))
    records = source.read_window(window, limit, with_label=source.monitor.label is not None)
    return _not_empty(records, source)


def scores_by_entity(source: Source) -> bool:
    """Return whether the model scores records with the past of their entity."""
    return source.monitor.entity is not None and source.monitor.entity in kind_of(source.monitor).past_columns(
        source.monitor
    )


def _entity_to_show(source: Source, store: Store, window: Window) -> str | None:
    """Return the entity of the newest incident in the window, or of the newest record."""
    query = IncidentQuery(monitor=source.name, since=window.since, until=window.until, limit=1)
    incidents = store.incidents.page(query)
    if incidents and incidents[0].entity is not None:
        return incidents[0].entity
    newest = source.read_window(window, 1)
    entity = None if newest.empty else newest[source.monitor.entity].iloc[-1]
    return None if entity is None or pd.isna(entity) else str(entity)


def _merged(parts: list[pd.DataFrame], source: Source) -> pd.DataFrame:
    """Return the records of several frames in the order of their keys, each once."""
    records = concatenated([part for part in parts if len(part)])
    keys = keys_of(records, source.monitor.key)
    first = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
    records = in_key_order(records.iloc[np.sort(list(first.values()))], source.monitor)
    has_keys = list(records.index.names) != [None]  # in its index
    return records if has_keys else records.reset_index(drop=True)


def _not_empty(records: pd.DataFrame, source: Source) -> pd.DataFrame:
    if records.empty:
        msg = (
            f"The table of monitor {source.name!r} has no such records. Choose another range or entity, or show the "
            f"flagged rows, which the store keeps: plumbline anomalies list {source.name}"
        )
        raise UsageError(msg)
    return records
