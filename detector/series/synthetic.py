"""Synthetic anomalies of series: segments of normal records in which one channel goes wrong.

The kinds follow Goswami et al., *Unsupervised Model Selection for Time-series Anomaly Detection* (2023), who found
that how detectors fare on such anomalies tells much, though not all, of how they fare on real ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SLOT = 100  # records, in each of which one event begins and ends
LEAD = 20  # normal records at the start of a slot, which set its event apart from the one before
SHORTEST, LONGEST = 5, 60  # records of an event
ECHO = 16  # records after an event that count neither way: an alarm that lingers is no false one


@dataclass(frozen=True)
class Event:
    """Records `start` (inclusive) to `end` (exclusive) in which a channel goes wrong."""

    kind: str
    start: int
    end: int
    channel: int

    @property
    def rows(self) -> slice:
        """The records."""
        return slice(self.start, self.end)

    def moved(self, rows: int) -> "Event":
        """The event so many records later."""
        return replace(self, start=self.start + rows, end=self.end + rows)


class _Segment(NamedTuple):
    """What a change starts from.

    Attributes:
        values: (m,) of the channel in the event.
        deviation: standard deviation of the channel.
        series: (n,) of the channel, the event included.
    """

    values: np.ndarray
    deviation: float
    series: np.ndarray


_Change = Callable[[_Segment, np.random.Generator], np.ndarray]


class _Kind(NamedTuple):
    change: _Change
    shortest: int = 10
    longest: int = LONGEST


def in_turn(rng: np.random.Generator) -> Iterator[str]:
    """The kinds without an end: each of them once, then each once again, in ever another order."""
    while True:
        yield from rng.permutation(KINDS).tolist()


def with_events(
    values: np.ndarray, deviations: np.ndarray, kinds: Iterator[str], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Event, ...]]:
    """A copy of the values (n, c) with an event in every hundred records, and the events.

    Each event is of one kind and in one channel.

    - *spike*: a bump of 3 to 8 standard deviations, over 5 to 10 records;
    - *shift*: the channel is 1 to 3 standard deviations too high or too low;
    - *drift*: it moves as far away little by little, over 30 to 60 records;
    - *stuck*: it keeps its first value;
    - *decoupled*: it goes on as at another time, so that its course is normal and no longer fits the other channels;
    - *amplitude*: its swings become two to four times as wide, or as narrow;
    - *noise*: white noise of half to two standard deviations comes on top.

    An event that leaves the records as they were, such as a stuck channel that stood still, is left out.

    Args:
        values: of consecutive normal records.
        deviations: (c,) standard deviation of each channel; where it is 0 the channel is left alone.
        kinds: of the events to come.
        rng: the same one makes the same events.
    """
    changed, events = values.copy(), []
    for event in _planned(len(values), np.flatnonzero(deviations > 0), kinds, rng):
        series = values[:, event.channel]
        segment = _Segment(series[event.rows], float(deviations[event.channel]), series)
        with np.errstate(over="ignore", invalid="ignore"):  # the largest numbers become infinite, or null
            becomes = _KINDS[event.kind].change(segment, rng)
        if not np.array_equal(becomes, segment.values, equal_nan=True):
            changed[event.rows, event.channel] = becomes
            events.append(event)
    return changed, tuple(events)


def covered(events: Iterable[Event], n: int, echo: int = 0) -> np.ndarray:
    """(n,) bool: which of n records are in an event, or among so many after one."""
    rows = np.zeros(n, dtype=bool)
    for event in events:
        rows[event.start : event.end + echo] = True
    return rows


def _planned(n: int, channels: np.ndarray, kinds: Iterator[str], rng: np.random.Generator) -> Iterator[Event]:
    for slot in range(0, n - SLOT + 1 if len(channels) else 0, SLOT):
        kind = next(kinds)
        shortest, longest = np.log(_KINDS[kind].shortest), np.log(_KINDS[kind].longest)
        length = round(np.exp(rng.uniform(shortest, longest)))
        start = slot + int(rng.integers(LEAD, SLOT - length + 1))
        yield Event(kind, start, start + length, int(rng.choice(channels)))


def _spiked(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    bump = np.hanning(len(segment.values) + 2)[1:-1]
    return segment.values + _either_way(rng) * rng.uniform(3, 8) * segment.deviation * bump / np.max(bump)


def _shifted(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    return segment.values + _either_way(rng) * rng.uniform(1, 3) * segment.deviation


def _drifting(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    slope = np.linspace(0, 1, len(segment.values) + 1)[1:]
    return segment.values + _either_way(rng) * rng.uniform(1, 3) * segment.deviation * slope


def _stuck(segment: _Segment, _rng: np.random.Generator) -> np.ndarray:
    return np.full_like(segment.values, segment.values[0])


def _decoupled(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    start = int(rng.integers(0, len(segment.series) - len(segment.values) + 1))
    return segment.series[start : start + len(segment.values)].copy()


def _swinging(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    known = segment.values[~np.isnan(segment.values)]
    mean = known.mean() if len(known) else 0.0
    return mean + (segment.values - mean) * rng.uniform(2, 4) ** _either_way(rng)


def _noisy(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    noise = rng.uniform(0.5, 2) * segment.deviation * rng.standard_normal(len(segment.values))
    return segment.values + noise


def _either_way(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


_KINDS: Mapping[str, _Kind] = {
    "amplitude": _Kind(_swinging),
    "decoupled": _Kind(_decoupled),
    "drift": _Kind(_drifting, shortest=30),
    "noise": _Kind(_noisy),
    "shift": _Kind(_shifted),
    "spike": _Kind(_spiked, shortest=SHORTEST, longest=10),
    "stuck": _Kind(_stuck),
}
KINDS = tuple(_KINDS)
