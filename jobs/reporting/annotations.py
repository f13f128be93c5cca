"""What people and the service did about records over time: maintenance windows, other champions and labels."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from jobs.maintenance import Maintenance
from jobs.pictures.values import Annotation
from jobs.reading.source import Source
from jobs.store import EventQuery, Store, StoredAnomaly
from jobs.wording import counted_noun, words

_MAX_WINDOWS, _MAX_PROMOTIONS = 50, 20
_INSTANT = timedelta(microseconds=1)


def annotations_of(
    source: Source,
    store: Store,
    times: Sequence[datetime],
    entity: str | None,
    rows: Sequence[StoredAnomaly],
    is_known: Sequence[bool] | None,
) -> tuple[Annotation, ...]:
    """Return what happened to records of an entity, in the order of time.

    Args:
        source: the watched table.
        store: the service's own database.
        times: of the records, ascending.
        entity: of the records; None for records of all entities.
        rows: the flagged ones.
        is_known: whether the label column marks each record; None without one.
    """
    every = [
        *_windows(source, times, entity),
        *_promotions(source.name, store, times),
        *_labels(rows),
        *_known(times, is_known or ()),
    ]
    return tuple(sorted(every, key=lambda item: (item.start, item.end, item.text)))


def _windows(source: Source, times: Sequence[datetime], entity: str | None) -> Iterator[Annotation]:
    for span in Maintenance.of(source.monitor).between(times[0], times[-1], entity, _MAX_WINDOWS):
        text = "maintenance" if span.entity is None else f"maintenance of {span.entity}"
        yield Annotation("maintenance", text, span.start, span.end)


def _promotions(name: str, store: Store, times: Sequence[datetime]) -> Iterator[Annotation]:
    query = EventQuery(name, "promoted", since=times[0], until=times[-1] + _INSTANT, limit=_MAX_PROMOTIONS)
    for event in store.events.page(query):
        yield Annotation("model", event.message, event.at, event.at)


def _labels(rows: Sequence[StoredAnomaly]) -> Iterator[Annotation]:
    """Yield the labels of people, those of an incident with the same label as one."""
    labelled: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    for row in rows:
        if row.label != "open" and row.record_time is not None:
            labelled[-row.id if row.incident_id is None else row.incident_id, row.label].append(row.record_time)
    for (_, label), times in labelled.items():
        text = f"{counted_noun(len(times), 'flagged record')} labelled {words(label)}"
        yield Annotation("label", text, min(times), max(times))


def _known(times: Sequence[datetime], is_known: Sequence[bool]) -> Iterator[Annotation]:
    """Yield the runs of records that the label column marks."""
    for known, run in groupby(zip(times, is_known, strict=False), key=itemgetter(1)):
        if known:
            marked = [time for time, _ in run]
            yield Annotation("known", "a known fault, by the label column", marked[0], marked[-1])
