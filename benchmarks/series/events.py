"""Alarms and causes beside the anomalies that they should find: contiguous labelled rows."""

import numpy as np

from benchmarks.series.data import KnownCause, Mask, Matrix, Vector
from detector.core.calibration import Calibration, conformal_rank
from detector.series.threshold_tracking import Tracker


def fixed_alarms(reference: Vector, scores: Vector, rate: float) -> Mask | None:
    """Rows whose conformal p-value is at most the rate; none where the reference cannot resolve it."""
    if not conformal_rank(rate, len(reference)):
        return None
    return np.asarray(Calibration.fit(reference).p_values(scores) <= rate)


def online_alarms(reference: Vector, scores: Vector, rate: float) -> Mask | None:
    """Rows above a threshold that follows the scores; none where the reference cannot resolve the rate."""
    if not conformal_rank(rate, len(reference)):
        return None
    thresholds, _ = Tracker.start(reference, rate).advance(scores)
    return np.asarray(scores > thresholds)


def false_rate(alarms: Mask, is_anomaly: Mask) -> float | None:
    """The share of normal rows flagged; none where there is no normal row."""
    return float(alarms[~is_anomaly].mean()) if not is_anomaly.all() else None


def event_recall(alarms: Mask, is_anomaly: Mask) -> float | None:
    """The share of anomalies with a flagged row; none where there is no anomaly."""
    found = [bool(alarms[start:end].any()) for start, end in events(is_anomaly)]
    return float(np.mean(found)) if found else None


def count_events(is_anomaly: Mask) -> int:
    """How many anomalies there are."""
    return len(events(is_anomaly))


def events(is_anomaly: Mask) -> list[tuple[int, int]]:
    """First row (inclusive) and last row (exclusive) of each anomaly.

    >>> events(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    step = np.diff(is_anomaly.astype(np.int8), prepend=0, append=0)
    return [
        (int(start), int(end)) for start, end in zip(*(np.flatnonzero(step == edge) for edge in (1, -1)), strict=True)
    ]


def ndcg(causes: Matrix, known: KnownCause, depth: int = 5) -> float:
    """Normalised discounted cumulative gain of the channels, ranked by their largest cause in the anomaly.

    >>> ndcg(np.array([[0.0, 2.0, 1.0]]), KnownCause(0, 1, (1, 2)))
    1.0
    """
    gains = 1 / np.log2(np.arange(2, depth + 2))
    hits = np.isin(_ranked(causes, known)[:depth], known.channels)
    return float(hits @ gains[: len(hits)] / gains[: len(known.channels)].sum())


def hit_rate(causes: Matrix, known: KnownCause) -> float:
    """HitRate@100%: the share of the true causes among as many channels, ranked as for `ndcg`."""
    first = _ranked(causes, known)[: len(known.channels)]
    return float(np.isin(first, known.channels).mean())


def _ranked(causes: Matrix, known: KnownCause) -> np.ndarray:
    """Channels, the largest first; those that tie in their order."""
    return np.argsort(-causes[known.start : known.end].max(axis=0), kind="stable")
