"""The rhythm of an entity: when it sent records, and its usual and longest pauses.

A pause is measured in seconds and in records of the whole monitor, since nights, weekends and outages in which no
entity sends anything do not lengthen the latter.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

MEMORY = timedelta(days=28)
"""How long a pause is remembered, and for how long an entity that sends nothing can still be missed."""
_MAX_WEIGHT = 1_000  # pauses that the usual one is a mean of; earlier ones fade
PAUSES_KEPT = 5
_SOURCE_PAUSES_KEPT = 20


class Pause(NamedTuple):
    """The time between two records of an entity."""

    records: int
    """Records of the monitor from one to the other, at least 1."""
    ended_at: datetime


@dataclass(frozen=True)
class Rhythm:
    """The records of an entity so far."""

    first_at: datetime
    last_at: datetime
    """The newest time of a record."""
    first_position: int
    """Number of the first record among the records of the monitor."""
    last_position: int
    pauses: int = 0
    """Number of pauses so far."""
    usual_records: float = 1.0
    """Geometric mean of the pauses in records of the monitor."""
    usual_seconds: float = 1.0
    """Geometric mean of the pauses in seconds, each at least 1."""
    longest: tuple[Pause, ...] = ()
    """The longest pauses of the last four weeks, longest first."""

    def followed_by(self, later: "Rhythm") -> "Rhythm":
        """Return the rhythm of these records and later ones."""
        pause = Pause(max(later.first_position - self.last_position, 1), later.first_at)
        seconds = max((later.first_at - self.last_at).total_seconds(), 1.0)
        weights = (min(self.pauses, _MAX_WEIGHT), 1, later.pauses)
        last_at = max(self.last_at, later.last_at)
        return Rhythm(
            first_at=min(self.first_at, later.first_at),
            last_at=last_at,
            first_position=self.first_position,
            last_position=later.last_position,
            pauses=self.pauses + 1 + later.pauses,
            usual_records=_geometric_mean((self.usual_records, pause.records, later.usual_records), weights),
            usual_seconds=_geometric_mean((self.usual_seconds, seconds, later.usual_seconds), weights),
            longest=longest_of((*self.longest, pause, *later.longest), last_at),
        )

    def moved(self, by: int) -> "Rhythm":
        """Return the rhythm with positions that are larger by a number."""
        return replace(self, first_position=self.first_position + by, last_position=self.last_position + by)

    def until(self, moment: datetime) -> "Rhythm":
        """Return the rhythm with no time later than a moment."""
        return replace(self, first_at=min(self.first_at, moment), last_at=min(self.last_at, moment))


class SourcePause(NamedTuple):
    """A pause of all entities of a monitor: from the newest record time so far to the next newer one."""

    began_at: datetime
    ended_at: datetime

    @property
    def length(self) -> timedelta:
        """Its length."""
        return self.ended_at - self.began_at


@dataclass(frozen=True)
class BatchRhythms:
    """The rhythms in consecutive records of a monitor, with positions among these records."""

    entities: Mapping[str, Rhythm]
    first_at: datetime
    """Time of the first record."""
    newest_at: datetime
    source_pauses: tuple[SourcePause, ...] = ()
    """The pauses of all entities that are longer than every later one, oldest first."""

    def followed_by(self, later: "BatchRhythms", position: int) -> "BatchRhythms":
        """Return the rhythms in these records and later ones, whose first one has a position."""
        moved = {name: rhythm.moved(position) for name, rhythm in later.entities.items()}
        entities = {
            name: self.entities[name].followed_by(new) if name in self.entities else new for name, new in moved.items()
        }
        return BatchRhythms(
            {**self.entities, **entities},
            self.first_at,
            max(self.newest_at, later.newest_at),
            notable((*self.source_pauses, *later.pauses_since(self.newest_at))),
        )

    def pauses_since(self, newest_at: datetime) -> list[SourcePause]:
        """Return the pauses of all entities, if earlier records go up to a time."""
        pauses = (SourcePause(newest_at, self.first_at), *self.source_pauses)
        return [SourcePause(max(began, newest_at), ended) for began, ended in pauses if ended > newest_at]


def notable(pauses: Sequence[SourcePause]) -> tuple[SourcePause, ...]:
    """Return the pauses that are longer than every later one: they are the last ones of any length or more.

    >>> from datetime import UTC
    >>> hours = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (0, 2, 5, 6, 7, 9)]
    >>> [pause.length // timedelta(hours=1) for pause in notable([SourcePause(*hours[n : n + 2]) for n in range(5)])]
    [3, 2]
    """
    kept: list[SourcePause] = []
    for pause in reversed(pauses):
        if not kept or pause.length > kept[-1].length:
            kept.append(pause)
    return tuple(reversed(kept[-_SOURCE_PAUSES_KEPT:]))


def _geometric_mean(values: Iterable[float], weights: Iterable[int]) -> float:
    weighted = [(math.log(value), weight) for value, weight in zip(values, weights, strict=True)]
    total = sum(weight for _, weight in weighted)
    return math.exp(sum(value * weight for value, weight in weighted) / total) if total else 1.0


def longest_of(pauses: Iterable[Pause], last_at: datetime) -> tuple[Pause, ...]:
    """Return the longest of the pauses that are remembered at a time, longest first."""
    recent = [pause for pause in pauses if pause.ended_at >= last_at - MEMORY]
    return tuple(sorted(recent, reverse=True)[:PAUSES_KEPT])
