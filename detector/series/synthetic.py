"""Synthetic anomalies of series: events in normal records during which one channel is faulty.

The kinds follow Goswami et al., *Unsupervised Model Selection for Time-series Anomaly Detection* (2023), who
show that a detector's quality on such anomalies predicts much, though not all, of its quality on real anomalies.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SLOT_ROWS = 100  # each slot holds one event
LEAD_ROWS = 20  # normal rows at the start of a slot, which separate its event from the previous event
MIN_EVENT_ROWS, MAX_EVENT_ROWS = 5, 60
ECHO_ROWS = 16  # after an event, which are not counted: an alarm that lingers is not a false alarm


@dataclass(frozen=True)
class Event:
    """Records `start` (inclusive) to `end` (exclusive), during which a channel is faulty."""

    kind: str
    start: int
    end: int
    channel: int

    @property
    def rows(self) -> slice:
        """The rows of the event."""
        return slice(self.start, self.end)

    def moved(self, rows: int) -> "Event":
        """Return the event moved by a number of rows."""
        return replace(self, start=self.start + rows, end=self.end + rows)


class _Segment(NamedTuple):
    """The values that a change starts from.

    Attributes:
        values: (m,) of the channel during the event.
        deviation: standard deviation of the channel.
        series: (n,) of the channel, the event included.
    """

    values: np.ndarray
    deviation: float
    series: np.ndarray


_Change = Callable[[_Segment, np.random.Generator], np.ndarray]


class _Kind(NamedTuple):
    """A kind of event: its change, and its shortest and longest length in rows."""

    change: _Change
    min_rows: int = 10
    max_rows: int = MAX_EVENT_ROWS


def cycle_kinds(rng: np.random.Generator) -> Iterator[str]:
    """Yield the kinds without end: all kinds once in random order, then again in another order."""
    while True:
        yield from rng.permutation(KINDS).tolist()


def inject_events(
    values: np.ndarray, deviations: np.ndarray, kinds: Iterator[str], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Event, ...]]:
    """Return a copy of the values (n, c) with one event in every hundred rows, and the events.

    Each event has one kind and changes one channel.

    - *spike*: a bump of 3 to 8 standard deviations, over 5 to 10 rows;
    - *shift*: the channel is 1 to 3 standard deviations too high or too low;
    - *drift*: the channel moves as far away gradually, over 30 to 60 rows;
    - *stuck*: the channel keeps its first value;
    - *decoupled*: the channel continues as at another time, so that its course is normal but does not fit the others;
    - *amplitude*: the channel's swings become two to four times as wide, or as narrow;
    - *noise*: white noise of half to two standard deviations is added.

    An event that changes nothing, such as a stuck channel that stood still anyway, is left out.

    Args:
        values: of consecutive normal records.
        deviations: (c,) standard deviation of each channel; a channel with 0 is not changed.
        kinds: of the next events.
        rng: the same state gives the same events.
    """
    changed, events = values.copy(), []
    for event in _planned(len(values), np.flatnonzero(deviations > 0), kinds, rng):
        series = values[:, event.channel]
        segment = _Segment(series[event.rows], float(deviations[event.channel]), series)
        with np.errstate(over="ignore", invalid="ignore"):  # the largest numbers become infinite, or null
            faulty = _KINDS[event.kind].change(segment, rng)
        if not np.array_equal(faulty, segment.values, equal_nan=True):
            changed[event.rows, event.channel] = faulty
            events.append(event)
    return changed, tuple(events)


def event_mask(events: Iterable[Event], n: int, echo_rows: int = 0) -> np.ndarray:
    """Return whether each of n rows is in an event, or in the `echo_rows` after one, (n,) bool."""
    mask = np.zeros(n, dtype=bool)
    for event in events:
        mask[event.start : event.end + echo_rows] = True
    return mask


def _planned(n: int, channels: np.ndarray, kinds: Iterator[str], rng: np.random.Generator) -> Iterator[Event]:
    """Draw an event for each slot, before any value is changed."""
    for slot in range(0, n - SLOT_ROWS + 1 if len(channels) else 0, SLOT_ROWS):
        kind = next(kinds)
        shortest, longest = np.log(_KINDS[kind].min_rows), np.log(_KINDS[kind].max_rows)
        length = round(np.exp(rng.uniform(shortest, longest)))
        start = slot + int(rng.integers(LEAD_ROWS, SLOT_ROWS - length + 1))
        yield Event(kind, start, start + length, int(rng.choice(channels)))


def _spiked(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    bump = np.hanning(len(segment.values) + 2)[1:-1]
    return segment.values + _random_sign(rng) * rng.uniform(3, 8) * segment.deviation * bump / np.max(bump)


def _shifted(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    return segment.values + _random_sign(rng) * rng.uniform(1, 3) * segment.deviation


def _drifting(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    slope = np.linspace(0, 1, len(segment.values) + 1)[1:]
    return segment.values + _random_sign(rng) * rng.uniform(1, 3) * segment.deviation * slope


def _stuck(segment: _Segment, _rng: np.random.Generator) -> np.ndarray:
    return np.full_like(segment.values, segment.values[0])


def _decoupled(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    start = int(rng.integers(0, len(segment.series) - len(segment.values) + 1))
    return segment.series[start : start + len(segment.values)].copy()


def _swinging(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    present = segment.values[~np.isnan(segment.values)]
    mean = present.mean() if len(present) else 0.0
    return mean + (segment.values - mean) * rng.uniform(2, 4) ** _random_sign(rng)


def _noisy(segment: _Segment, rng: np.random.Generator) -> np.ndarray:
    noise = rng.uniform(0.5, 2) * segment.deviation * rng.standard_normal(len(segment.values))
    return segment.values + noise


def _random_sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


_KINDS: Mapping[str, _Kind] = {
    "amplitude": _Kind(_swinging),
    "decoupled": _Kind(_decoupled),
    "drift": _Kind(_drifting, min_rows=30),
    "noise": _Kind(_noisy),
    "shift": _Kind(_shifted),
    "spike": _Kind(_spiked, min_rows=MIN_EVENT_ROWS, max_rows=10),
    "stuck": _Kind(_stuck),
}
KINDS = tuple(_KINDS)
