"""Training records that look unlike the others: their share, and the first ones for a person to check.

The logarithms of the scores of good records have at most an exponential tail, like the scores of a Pareto law, which
their middle determines; the share of scores beyond this law is the estimate. It counts scattered faults. Wrong records
that resemble each other have near neighbours and count as normal, like a rare kind of good records.
"""

import numpy as np

from detector.core.about import UnusualRecords
from detector.core.subsample import subsample_evenly

MAX_MEASURED_RECORDS = 2_000
MAX_LISTED_RECORDS = 5
MIDDLE = np.linspace(0.5, 0.85, 15)  # quantiles that the law is fitted to: larger scores may be those of faults
MIN_RECORDS = 50
CHANCE = 2.0  # standard deviations of the number of scores beyond a limit, which count as chance


def measured_rows(n: int) -> np.ndarray:
    """Return the positions of the training records to measure, an even subsample of n."""
    return subsample_evenly(n, MAX_MEASURED_RECORDS)


def find_unusual(scores: np.ndarray, rows: np.ndarray) -> UnusualRecords:
    """Return the share of unusual records, and the rows of the most unusual ones.

    Args:
        scores: (m,) of training records, each measured against the others.
        rows: (m,) their rows among all training records.
    """
    most = np.argsort(-scores, kind="stable")[:MAX_LISTED_RECORDS]
    return UnusualRecords(excess_share(scores), tuple(rows[most].tolist()))


def excess_share(scores: np.ndarray) -> float:
    """Return the share of scores (m,) beyond an exponential law of the logarithms of the middle ones.

    >>> scores = np.exp(np.random.default_rng(0).normal(size=1000))
    >>> excess_share(scores), round(excess_share(np.append(scores, np.full(50, 1e6))), 2)
    (0.0, 0.05)
    """
    m = len(scores)
    if m < MIN_RECORDS:
        return 0.0
    logs = np.sort(np.log(np.maximum(scores - min(scores.min(), 0.0), np.finfo(np.float64).tiny)))
    spread, start = np.polyfit(-np.log(1 - MIDDLE), np.quantile(logs, MIDDLE), 1)
    if spread <= 0:
        return 0.0
    expected = np.exp(-np.maximum(logs - start, 0) / spread)  # shares of scores at least as large
    chance = CHANCE * np.sqrt(np.maximum(expected * (1 - expected), 1 / m) / m)
    excess = 1 - np.arange(m) / m - expected - chance
    return float(max(excess[logs > np.quantile(logs, MIDDLE[-1])].max(initial=0.0), 0.0))
