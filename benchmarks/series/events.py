"""Alarms and causes compared with the labelled anomalies, which are contiguous rows."""

import numpy as np
import numpy.typing as npt

from benchmarks.series.data import KnownCause, Mask, Matrix, Vector
from detector.core.calibration import Calibration, conformal_rank
from detector.core.lasting_incidents import incident_numbers
from detector.core.threshold_tracking import CALM_RECORDS, Tracker

Numbers = npt.NDArray[np.int64]
JOINED_RECORDS = 24  # no further apart than this, flagged rows are one incident if it goes by time, by default


def fixed_alarms(reference: Vector, scores: Vector, rate: float) -> Mask | None:
    """Return the rows whose conformal p-value is at most the rate; None if the reference cannot resolve the rate."""
    if not conformal_rank(rate, len(reference)):
        return None
    return np.asarray(Calibration.fit(reference).p_values(scores) <= rate)


def online_alarms(reference: Vector, scores: Vector, rate: float) -> Mask | None:
    """Return the rows above a tracked threshold; None if the reference cannot resolve the rate."""
    if not conformal_rank(rate, len(reference)):
        return None
    thresholds, _ = Tracker.start(reference, rate).advance(scores)
    return np.asarray(scores > thresholds)


def online_incidents(reference: Vector, scores: Vector, rate: float) -> Numbers | None:
    """Return the incident (n,) of each row above a tracked threshold, as scoring groups them; -1 for other rows.

    None if the reference cannot resolve the rate.
    """
    if not conformal_rank(rate, len(reference)):
        return None
    tracker = Tracker.start(reference, rate)
    if tracker.steady is None:
        return None
    thresholds, _ = tracker.advance(scores)
    return incident_numbers(tracker.steady, scores, thresholds)


def incidents_by_time(alarms: Mask, gap: int = JOINED_RECORDS) -> Numbers:
    """Return the incident (n,) of each flagged row, of which those at most `gap` rows apart are one; -1 for others.

    >>> incidents_by_time(np.array([True, False, True, False, False, True]), gap=2).tolist()
    [0, -1, 0, -1, -1, 1]
    """
    rows = np.flatnonzero(alarms)
    numbers = np.full(len(alarms), -1)
    numbers[rows] = np.cumsum(np.diff(rows, prepend=rows[:1]) > gap)
    return numbers


def settling_rows(reference: Vector, scores: Vector, rate: float) -> Mask:
    """Return the rows in which a level was unusual that then became usual; no row is if the rate is refused."""
    is_settling = np.zeros(len(scores), dtype=bool)
    if not conformal_rank(rate, len(reference)):
        return is_settling
    tracker = Tracker.start(reference, rate)
    for row in range(len(scores)):
        _, after = tracker.advance(scores[row : row + 1])
        if after.shifts > tracker.shifts:
            is_settling[max(0, row + 1 - after.usual_after) : row + 1] = True
        tracker = after
    return is_settling


def false_rate(alarms: Mask, is_anomaly: Mask) -> float | None:
    """Return the share of normal rows that is flagged; None if there are no normal rows."""
    return float(alarms[~is_anomaly].mean()) if not is_anomaly.all() else None


def event_recall(alarms: Mask, is_anomaly: Mask) -> float | None:
    """Return the share of anomalies with a flagged row; None if there are no anomalies."""
    is_detected = [bool(alarms[start:end].any()) for start, end in events(is_anomaly)]
    return float(np.mean(is_detected)) if is_detected else None


def found_share(alarms: Mask, is_anomaly: Mask) -> float | None:
    """Return the flagged share of the rows of an anomaly, averaged over those with a flagged row; None if none has.

    >>> found_share(np.array([True, False, True, False]), np.array([True, True, False, True]))
    0.5
    """
    shares = [float(alarms[start:end].mean()) for start, end in events(is_anomaly) if alarms[start:end].any()]
    return float(np.mean(shares)) if shares else None


def single_share(alarms: Mask, is_anomaly: Mask, gap: int = CALM_RECORDS) -> float | None:
    """Return the share of the anomalies with a flagged row whose flagged rows are one run; None if none has one."""
    runs = [count_runs(alarms[start:end], gap) for start, end in events(is_anomaly) if alarms[start:end].any()]
    return float(np.mean([count == 1 for count in runs])) if runs else None


def joined_share(numbers: Numbers, is_anomaly: Mask) -> float | None:
    """Return the share of the anomalies with a flagged row whose flagged rows are one incident; None if none has one.

    >>> joined_share(np.array([0, -1, 0, -1, 0, 1]), np.array([True, True, True, False, True, True]))
    0.5
    """
    counts = [len(set(numbers[start:end].tolist()) - {-1}) for start, end in events(is_anomaly)]
    found = [count == 1 for count in counts if count]
    return float(np.mean(found)) if found else None


def count_events(is_anomaly: Mask) -> int:
    """Return the number of anomalies."""
    return len(events(is_anomaly))


def count_runs(alarms: Mask, gap: int = CALM_RECORDS) -> int:
    """Return the number of runs of flagged rows, which are at most `gap` rows apart.

    >>> count_runs(np.array([True, False, False, True, *6 * [False], True]))
    2
    """
    rows = np.flatnonzero(alarms)
    return int((np.diff(rows) > gap).sum()) + 1 if len(rows) else 0


def events(is_anomaly: Mask) -> list[tuple[int, int]]:
    """Return the first row (inclusive) and the last row (exclusive) of each anomaly.

    >>> events(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    step = np.diff(is_anomaly.astype(np.int8), prepend=0, append=0)
    return [
        (int(start), int(end)) for start, end in zip(*(np.flatnonzero(step == edge) for edge in (1, -1)), strict=True)
    ]


def ndcg(causes: Matrix, anomaly: KnownCause, depth: int = 5) -> float:
    """Return the normalised discounted cumulative gain of channels, ranked by their largest cause in the anomaly.

    >>> ndcg(np.array([[0.0, 2.0, 1.0]]), KnownCause(0, 1, (1, 2)))
    1.0
    """
    gains = 1 / np.log2(np.arange(2, depth + 2))
    hits = np.isin(_ranked_channels(causes, anomaly)[:depth], anomaly.channels)
    return float(hits @ gains[: len(hits)] / gains[: len(anomaly.channels)].sum())


def hit_rate(causes: Matrix, anomaly: KnownCause) -> float:
    """Return HitRate@100%: the share of the true causes among as many top channels, ranked as for `ndcg`."""
    first = _ranked_channels(causes, anomaly)[: len(anomaly.channels)]
    return float(np.isin(first, anomaly.channels).mean())


def _ranked_channels(causes: Matrix, anomaly: KnownCause) -> np.ndarray:
    """Return the channels, largest cause first; ties keep their order."""
    return np.argsort(-causes[anomaly.start : anomaly.end].max(axis=0), kind="stable")
