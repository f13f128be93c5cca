"""Runs every aspect on a source."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from jobs.conformance import keys, limits, times, values
from jobs.conformance.outcome import Outcome, Seen
from jobs.conformance.sample import Sample
from jobs.reading.source import Source
from schemas.errors import PlumblineError, SourceAway

IMPATIENT = timedelta(seconds=1)
"""The limit of statements of the second source."""

ASPECTS: dict[str, Callable[[Sample], Seen]] = {
    "tables and columns": values.description,
    "values": values.values,
    "types of the key": keys.key_types,
    "order of keys": keys.key_order,
    "equality of keys": keys.key_equality,
    "paging by key": keys.paging,
    "counts of ranges": keys.range_counts,
    "detection of changes": keys.fingerprints,
    "past of a series": keys.past_of_entities,
    "large integers": values.integers,
    "equality of texts": values.texts,
    "order of nulls": values.nulls,
    "time zones": times.zones,
    "comparisons of times": times.comparisons,
    "cells of `resample`": times.grid,
    "isolation": limits.isolation,
    "end of long statements": limits.statement_timeout,
}


def check_conformance(source: Source, impatient: Source) -> Iterator[Outcome]:
    """Yield how each aspect of a source behaves; it is read, and never written.

    Args:
        source: The watched table, whose records are rows.
        impatient: The same table through connections whose statements are limited to `IMPATIENT`.
    """
    sample, failed, is_away = Sample(source, impatient), dict[str, str](), False
    for aspect, check in ASPECTS.items():
        if is_away:
            yield Outcome(aspect, "untried", "the database cannot be reached")
            continue
        try:
            seen = check(sample)
        except Exception as exc:  # noqa: BLE001 - a driver that nobody has tried may raise anything
            is_away = isinstance(exc, SourceAway)
            seen = _obstacle(exc, failed, aspect)
        yield Outcome(aspect, seen.level, seen.detail)


def _obstacle(exc: Exception, failed: dict[str, str], aspect: str) -> Seen:
    """Return what an error means for an aspect; `failed` has the first aspect of each error."""
    reason = str(exc) if isinstance(exc, PlumblineError) else f"{type(exc).__name__}: {exc}"
    first = failed.setdefault(reason, aspect)
    return Seen("fails", reason) if first == aspect else Seen("untried", f"for the same reason as {first!r}")
