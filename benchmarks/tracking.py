"""Benchmark of tracked thresholds on simulated streams of scores, run as ``python -m benchmarks.tracking``.

The streams are of the kinds that the constants of `detector.core.threshold_tracking` were chosen on, drawn with
another seed: smooth scores that stay calm, have heavy tails, rise, shift permanently, wander, go in cycles or in
bursts, each with a few incidents of 5 to 400 records. The tracker is compared with a fixed conformal threshold and
with plain tracking, in which every flagged record counts. Settled rates leave out the records after a permanent shift
in which its level may still be unusual. At a lower rate the streams are longer in proportion.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.options import positive, share
from benchmarks.report import markdown_table
from benchmarks.series.data import Mask, Vector
from benchmarks.series.events import count_runs, event_recall, events, false_rate, fixed_alarms, online_alarms
from benchmarks.series.peers import smooth
from detector.core.threshold_tracking import USUAL_AFTER

RATE = 0.01
KINDS = ("calm", "heavy tails", "rise", "shift", "wander", "cycles", "bursts")
SMOOTHING_RECORDS = 4  # half-life, about that of a series model's scores
MIN_RECORDS_BETWEEN = 50  # incidents

Threshold = Callable[[Vector, Vector, float], Mask]  # reference, scores and rate to alarms


@dataclass(frozen=True)
class Size:
    """The number of records to calibrate with, and of records of the stream."""

    reference: int
    records: int

    @classmethod
    def of(cls, rate: float) -> "Size":
        """Return the size with which ten calibration records are above the threshold of a rate."""
        return cls(round(10 / rate), round(120 / rate))


@dataclass(frozen=True)
class Stream:
    """Scores of a stream.

    Attributes:
        reference: scores of normal records to calibrate with.
        scores: (n,) the scores that follow.
        is_incident: (n,) whether each is in an incident.
        shift: the first row of a permanent shift; None if there is none.
    """

    reference: Vector
    scores: Vector
    is_incident: Mask
    shift: int | None = None

    @property
    def is_settled(self) -> Mask:
        """Whether the stream has not just shifted, (n,)."""
        rows = np.arange(len(self.scores))
        return (rows < (self.shift or 0)) | (rows >= (self.shift or -USUAL_AFTER) + USUAL_AFTER)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=__doc__)
    parser.add_argument("--streams", type=positive, default=20, help="of each kind (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the streams (default: 1)")
    parser.add_argument("--rate", type=share, default=RATE, help="share of the records to flag (default: 0.01)")
    options = parser.parse_args(arguments)
    rng, size = np.random.default_rng(options.seed), Size.of(options.rate)
    streams = [draw(kind, rng, size) for kind in KINDS for _ in range(options.streams)]
    header = ["threshold", "median", "within 2x", "worst", "settled: within 2x", "worst"]
    header += ["incidents found", "their records flagged", "found as one incident"]
    rows = [[name, *table_row(threshold, streams, options.rate)] for name, threshold in THRESHOLDS.items()]
    sys.stdout.write("\n".join(markdown_table(header, rows)) + "\n")
    return 0


def draw(kind: str, rng: np.random.Generator, size: Size) -> Stream:
    """Draw a stream of one of `KINDS`."""
    n = size.reference + size.records
    noise = np.log1p(rng.pareto(2.5, n) if kind == "heavy tails" else rng.gamma(1, 1, n))
    level = _level(kind, size, rng)
    scores = 3 * smooth(noise - noise.mean(), SMOOTHING_RECORDS) + level
    is_incident = np.zeros(n, dtype=bool)
    for _ in range(rng.integers(3, 9)):
        length = int(np.exp(rng.uniform(np.log(5), np.log(400))))
        start = int(rng.integers(size.reference, n - length))
        span = slice(start, start + length)
        if not is_incident[start - MIN_RECORDS_BETWEEN : start + length + MIN_RECORDS_BETWEEN].any():
            is_incident[span] = True
            scores[span] += rng.uniform(1.5, 8) * np.minimum(1, np.arange(1, length + 1) / 3)
    shift = int(np.argmax(level > 0)) - size.reference if kind == "shift" else None
    return Stream(scores[: size.reference], scores[size.reference :], is_incident[size.reference :], shift)


def _level(kind: str, size: Size, rng: np.random.Generator) -> Vector:
    """Return the level (n,) that the scores move around; 0 if it does not change."""
    n = size.reference + size.records
    rows = np.arange(n)
    later = np.maximum(rows - size.reference, 0)
    if kind == "rise":
        return np.asarray(rng.uniform(1, 6) * later / size.records)
    if kind == "shift":
        return np.asarray(rng.uniform(1, 6) * (later > rng.integers(size.records)))
    if kind == "wander":
        walk = 0.02 * np.cumsum(rng.standard_normal(n))
        return np.asarray(walk - walk[: size.reference].mean())
    if kind == "cycles":
        wave = np.sin(2 * np.pi * rows / rng.integers(1_500, 4_000))
        return np.asarray(rng.uniform(0.5, 3) * wave * np.where(later > 0, 1, 0.3))
    return _bursts(n, rng) if kind == "bursts" else np.zeros(n)


def _bursts(n: int, rng: np.random.Generator) -> Vector:
    level = np.zeros(n)
    for start in rng.integers(0, n, n // 400):
        level[start : start + rng.integers(5, 60)] += rng.uniform(0.5, 3)
    return level


def table_row(threshold: Threshold, streams: Sequence[Stream], rate: float) -> list[str]:
    """Return the rates on normal records, the share of incidents found, and how they are flagged."""
    alarms = [threshold(stream.reference, stream.scores, rate) for stream in streams]
    pairs = [(flagged, stream.is_incident) for flagged, stream in zip(alarms, streams, strict=True)]
    rates = np.array([false_rate(*pair) for pair in pairs], dtype=float)
    settled_pairs = (
        (flagged[stream.is_settled], stream.is_incident[stream.is_settled])
        for flagged, stream in zip(alarms, streams, strict=True)
    )
    settled = np.array([false_rate(*pair) for pair in settled_pairs], dtype=float)
    counts = [len(events(is_incident)) for _, is_incident in pairs]
    recall = np.average([event_recall(*pair) or 0.0 for pair in pairs], weights=counts)
    shares = [flagged[start:end].mean() for flagged, labels in pairs for start, end in events(labels)]
    runs = [count_runs(flagged[start:end]) for flagged, labels in pairs for start, end in events(labels)]
    return [
        f"{np.median(rates):.2%}",
        *_spread(rates, rate),
        *_spread(settled, rate),
        f"{recall:.0%}",
        f"{np.mean(shares):.0%}",
        f"{np.mean([count == 1 for count in runs if count]):.0%}",
    ]


def _spread(rates: Vector, rate: float) -> list[str]:
    """Return the share of rates within a factor of two of the configured one, and the largest rate."""
    is_near = (rates >= rate / 2) & (rates <= 2 * rate)
    return [f"{is_near.mean():.0%}", f"{rates.max():.2%}"]


def plain(step: float) -> Threshold:
    """Return published adaptive conformal inference; a step of 1 is the median's distance to the 99 % quantile."""

    def alarms(reference: Vector, scores: Vector, rate: float) -> Mask:
        threshold = float(np.quantile(reference, 1 - rate))
        size = step * (float(np.quantile(reference, 0.99)) - float(np.median(reference)))
        flagged = np.zeros(len(scores), dtype=bool)
        for row, score in enumerate(scores.tolist()):
            flagged[row] = score > threshold
            threshold += size * (float(flagged[row]) - rate)
        return flagged

    return alarms


def _fixed(reference: Vector, scores: Vector, rate: float) -> Mask:
    return np.asarray(fixed_alarms(reference, scores, rate))


def _ours(reference: Vector, scores: Vector, rate: float) -> Mask:
    return np.asarray(online_alarms(reference, scores, rate))


THRESHOLDS: dict[str, Threshold] = {
    "ours": _ours,
    **{f"plain, step {step:g}": plain(step) for step in (0.05, 0.2, 1.0)},
    "fixed": _fixed,
}


if __name__ == "__main__":
    sys.exit(main())
