"""Outlying calibration scores: a few scores so far above the others that they are hardly those of normal records.

If anomalies are among the newest normal records, they calibrate the threshold, and nothing like them is flagged.

The rule looks for a gap in the logarithms of the scores. Above a high score, spacings of logarithms are about
exponential: the k-th largest less the next one, times k, has the same mean for every k (Renyi 1953), which the scores
below the gap estimate (Hill 1975). A gap counts if chance makes none so large among the largest scores of a thousand
sets, and if the lowest of the outlying scores is far above the others: by at least half of the distance from the median
of the others to the largest of them. So heavy tails and single large scores are no gap, and neither is a second kind
of normal records with somewhat larger scores.
"""

import numpy as np

MAX_OUTLYING_SHARE = 0.25  # of the scores: more are another state of normal records
MIN_GAP = np.log(1.5)  # between the logarithms of the lowest outlying score and of the largest other score
MIN_GAP_OF_RANGE = 0.5  # times the distance from the median of the other scores to their largest
MIN_SPACINGS = 20  # below a gap, from which the spacings are estimated
SPACING_SHARE = 0.1  # of the scores below a gap: the largest, if they are more
MAX_TRAINED_SHARE = 0.05  # of the training scores beyond a gap: more are a kind of normal records
CHANCE = 1e-3  # of a gap, among all places of a set of scores


def is_unlike_training(scores: np.ndarray, training_scores: np.ndarray) -> np.ndarray:
    """Return (m,) bool: the outlying calibration scores, unless training records have such scores, too.

    Args:
        scores: (m,) of calibration records.
        training_scores: (n,) of training records, each measured against the others.
    """
    outlying = is_outlying(scores)
    is_kind = outlying.any() and np.mean(training_scores >= scores[outlying].min()) > MAX_TRAINED_SHARE
    return np.zeros(len(scores), dtype=bool) if is_kind else outlying


def is_outlying(scores: np.ndarray) -> np.ndarray:
    """Return (m,) bool: the scores far above the others; all False if there is no gap.

    >>> is_outlying(np.append(np.linspace(1, 2, 100), [30.0, 40.0])).nonzero()[0].tolist()
    [100, 101]
    """
    m = len(scores)
    floor = np.finfo(np.float64).tiny
    logs = np.sort(np.log(np.maximum(scores - min(scores.min(), 0.0), floor))) if m else np.zeros(0)
    max_outlying = min(int(MAX_OUTLYING_SHARE * m), m - MIN_SPACINGS - 1)
    candidates = np.flatnonzero(np.diff(logs)[::-1][: max(max_outlying, 0)] >= MIN_GAP) + 1
    outlying = [k for k in candidates.tolist() if _is_gap(logs, k, max_outlying)]
    return np.asarray(np.argsort(np.argsort(scores, kind="stable")) >= m - max(outlying, default=0))


def _is_gap(logs: np.ndarray, k: int, places: int) -> bool:
    """Return whether the k largest of ascending logarithms (m,) lie beyond a gap.

    Args:
        logs: of the scores.
        k: number of scores above the gap.
        places: at which a gap is searched for.
    """
    others = logs[: len(logs) - k]
    gap = logs[len(logs) - k] - others[-1]
    if gap < MIN_GAP_OF_RANGE * (others[-1] - np.median(others)):
        return False
    tail = max(MIN_SPACINGS, int(SPACING_SHARE * len(others)))
    spacing = float((others[-tail:] - others[-tail - 1]).mean())
    needed = tail * ((places / CHANCE) ** (1 / tail) - 1)  # an exponential over the mean of `tail` exponentials
    return bool(k * gap > needed * spacing)
