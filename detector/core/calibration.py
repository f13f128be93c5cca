"""Calibration: anomaly scores to p-values, thresholds and severities.

Split conformal: with m held-out normal scores, ``p = (1 + #scores >= score) / (1 + m)`` is at most
alpha with probability at most alpha for a new normal record (Bates, Candes, Lei, Romano & Sesia, *Testing
for Outliers with Conformal p-values*, 2023). Ranks resolve no rate below 1 / (m + 1); the tail model
extrapolates there with a generalised Pareto distribution (Siffer et al., *Anomaly Detection in Streams
with Extreme Value Theory*, 2017), which is an assumption, not a guarantee. It is used only for scores
above all calibration scores, and for rates that ranks cannot resolve.

Severities are meant to order records that ranks cannot tell apart, so beyond the largest calibration score they
follow a generalised Pareto law that is fitted to the largest calibration scores by weighted moments (Hosking &
Wallis, *Parameter and Quantile Estimation for the Generalized Pareto Distribution*, 1987). P-values and thresholds do
not use it.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from schemas.errors import NotEnoughRecords, RateTooSmall, RecordsError

TAIL_SHARE = 0.1  # of the calibration scores: the largest, to which the tail is fitted
MIN_TAIL_SCORES = 20
SMALLEST_P = 1e-12
MAX_EXPONENT = 700.0  # of e in a float
SMALLEST_SHAPE = 1e-19  # below which the tail is exponential
FULL_SEVERITY_P = 1e-6
_MIN_LAW_SCORES = 5
_SHAPES = (0.1, 0.9)  # of the law of severities: few scores may suggest any shape, and a shape of 0 spreads too little
CERTAINTY = 0.95  # of the bounds of a realised rate
_BISECTIONS = 50
ROUNDING = 1e-9  # a p-value and a level that are equal on paper may differ in the last bit


@dataclass(frozen=True)
class ParetoTail:
    """Generalised Pareto distribution of the scores above `start`, which a share `share` of normal scores exceeds.

    Its shape is never negative: a negative shape implies a largest possible score, which some hundred scores cannot
    locate, and p-values of 0 beyond it. The exponential tail, of shape 0, is the cautious limit.
    """

    start: float
    share: float
    shape: float
    scale: float

    @classmethod
    def fit(cls, calibration_scores: np.ndarray) -> "ParetoTail":
        """Fit the tail of ascending calibration scores (m,).

        Raises:
            NotEnoughRecords: If fewer than 20 scores lie in the tail.
            RecordsError: If the tail has fewer than 20 distinct values.
        """
        from scipy.stats import genpareto

        size = int(TAIL_SHARE * len(calibration_scores))
        if size < MIN_TAIL_SCORES:
            raise NotEnoughRecords(
                len(calibration_scores), int(MIN_TAIL_SCORES / TAIL_SHARE), 'to calibrate with threshold = "pot"'
            )
        start = float(calibration_scores[-size - 1])
        excesses = calibration_scores[-size:] - start
        if (distinct := len(np.unique(excesses[excesses > 0]))) < MIN_TAIL_SCORES:
            raise _tied_tail(size, distinct)
        shape, _, scale = genpareto.fit(excesses, floc=0)
        if shape < 0:
            shape, scale = 0.0, excesses.mean()
        return cls(start, size / len(calibration_scores), float(shape), float(scale))

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Return (n,) shares of normal records beyond each score; meaningful above `start` only."""
        excesses = (scores - self.start) / self.scale
        beyond = np.array([self._share_beyond(excess) for excess in excesses.tolist()])
        return np.asarray(np.maximum(self.share * beyond, SMALLEST_P))

    def threshold(self, rate: float) -> float:
        """Return the score that a share `rate` of normal records exceeds."""
        return float(self.thresholds(np.array([rate]))[0])

    def thresholds(self, rates: np.ndarray) -> np.ndarray:
        """Return the scores (n,) that shares of normal records exceed."""
        excesses = np.array([self._excess(share) for share in (rates / self.share).tolist()])
        return np.asarray(self.start + excesses * self.scale)

    # The functions of `scipy.stats.genpareto`, to the bit: scoring does without SciPy, which a worker may lack.

    def _share_beyond(self, excess: float) -> float:
        if math.isnan(excess):
            return math.nan
        if not 0 < excess < math.inf:
            return float(excess <= 0)
        return math.exp(math.log1p(self.shape * excess) / -self.shape if self.shape else -excess)

    def _excess(self, share: float) -> float:
        if not 0 < share < 1:
            return {0.0: math.inf, 1.0: 0.0}.get(share, math.nan)
        if self.shape < SMALLEST_SHAPE:
            return -math.log(share)
        return math.expm1(min(-self.shape * math.log(share), MAX_EXPONENT)) / self.shape


@dataclass(frozen=True)
class Calibration:
    """Held-out normal scores, by which other scores get their p-values and thresholds.

    Attributes:
        scores: (m,) float64, ascending.
        tail: the tail model, if the monitor uses one.
    """

    scores: np.ndarray
    tail: ParetoTail | None = None

    @classmethod
    def fit(cls, scores: np.ndarray, *, with_tail: bool = False) -> "Calibration":
        """Calibrate with held-out normal scores (m,)."""
        ascending = np.sort(np.asarray(scores, dtype=np.float64))
        return cls(ascending, ParetoTail.fit(ascending) if with_tail else None)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Return (n,) in (0, 1], by rank; above all calibration scores, by the tail model if that is smaller."""
        m = len(self.scores)
        at_least = m - np.searchsorted(self.scores, scores, side="left")
        by_rank = (1 + at_least) / (1 + m)
        if self.tail is None:
            return np.asarray(by_rank)
        return np.where(at_least > 0, by_rank, np.minimum(by_rank, self.tail.p_values(scores)))

    def severity(self, scores: np.ndarray, p_values: np.ndarray | None = None) -> np.ndarray:
        """Return (n,) severities of scores, in [0, 100]; beyond all calibration scores they are extrapolated.

        Args:
            scores: (n,) anomaly scores.
            p_values: (n,) of the scores, if they are computed already.
        """
        p_values = self.p_values(scores) if p_values is None else p_values
        if self.tail is not None:
            return severity(p_values)
        return severity(np.maximum(p_values * self._beyond_all(np.asarray(scores)), SMALLEST_P))

    def highest_severity(self, score: float = np.inf) -> float:
        """Return the severity of a score; the highest that this calibration can give by default."""
        return float(self.severity(np.array([score]))[0])

    def _beyond_all(self, scores: np.ndarray) -> np.ndarray:
        """Return (n,) in [0, 1]: the share of records beyond all calibration scores that lie beyond each score."""
        start, shape, scale = self._law_of_severities
        if scale <= 0:
            return np.ones(len(scores))
        largest = self.scores[-1]
        ratio = (1 + shape * (np.maximum(scores, largest) - start) / scale) / (1 + shape * (largest - start) / scale)
        return np.asarray(np.exp(-np.log(ratio) / shape))

    @cached_property
    def _law_of_severities(self) -> tuple[float, float, float]:
        """Return start, shape and scale of the Pareto law of the largest scores; a scale of 0 if they are all equal."""
        size = min(max(_MIN_LAW_SCORES, int(TAIL_SHARE * len(self.scores))), len(self.scores) - 1)
        if size < 1:
            return 0.0, 1.0, 0.0
        start = float(self.scores[-size - 1])
        excesses = self.scores[-size:] - start
        mean = float(excesses.mean())
        weighted = float((excesses * (np.arange(size, 0, -1) - 0.5)).mean()) / size  # by the share of larger excesses
        shape = float(np.clip(2 - mean / (mean - 2 * weighted), *_SHAPES)) if mean > 2 * weighted else _SHAPES[1]
        return start, shape, mean * (1 - shape)

    def threshold(self, rate: float) -> float:
        """Return the score above which a record is an anomaly at a false-positive rate.

        Raises:
            RateTooSmall: If the calibration scores are too few for the rate and there is no tail model.
        """
        m = len(self.scores)
        rank = conformal_rank(rate, m)
        if self.tail and rank < 1:
            return max(float(self.scores[-1]), self.tail.threshold(rate))
        check_rate(rate, m)
        return float(self.scores[m - rank])  # rank - 1 calibration scores may be as large as an anomaly's

    def thresholds(self, rates: np.ndarray) -> np.ndarray:
        """Return the thresholds (n,) of false-positive rates, infinite for a rate that nothing resolves."""
        m = len(self.scores)
        ranks = np.floor(rates * (m + 1) + ROUNDING).astype(np.int64)
        by_rank = self.scores[m - np.clip(ranks, 1, m)]
        beyond: np.ndarray | float = np.inf
        if self.tail is not None:
            beyond = np.maximum(self.scores[-1], self.tail.thresholds(np.minimum(rates, self.tail.share)))
        return np.where(ranks >= 1, by_rank, beyond)


def _tied_tail(size: int, distinct: int) -> RecordsError:
    return RecordsError(
        f"Of the {size} largest calibration scores {distinct} are distinct, and "
        f'threshold = "pot" needs at least {MIN_TAIL_SCORES} to fit a tail to. '
        'Set threshold = "conformal", or train on more normal records.'
    )


def check_rate(rate: float, m: int) -> None:
    """Refuse a false-positive rate that m calibration records cannot resolve.

    Raises:
        RateTooSmall: If the rate is below 1 / (m + 1).
    """
    if conformal_rank(rate, m) < 1:
        raise RateTooSmall(rate, m)


def benjamini_hochberg(p_values: np.ndarray, level: float) -> np.ndarray:
    """Return (n,) bool: the records to flag so that on average at most a share `level` of flagged records is normal.

    The k smallest p-values are flagged, for the largest k whose k-th p-value is at most ``level k / n`` (Benjamini
    & Hochberg, *Controlling the False Discovery Rate*, 1995). Conformal p-values share one calibration set
    and so depend on each other, but positively, under which the promise holds (Bates et al., 2023).

    >>> benjamini_hochberg(np.array([0.5, 0.004, 0.03, 0.9]), 0.1).tolist()
    [False, True, True, False]
    """
    n = len(p_values)
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= level * np.arange(1, n + 1) / n * (1 + ROUNDING))
    return p_values <= ordered[passing[-1]] if len(passing) else np.zeros(n, dtype=bool)


def severity(p_values: np.ndarray) -> np.ndarray:
    """Return (n,) in [0, 100]: a fixed scale for people, 0 at p = 1, 50 at one in a thousand, 100 at one in a million.

    >>> severity(np.array([1.0, 0.001, 1e-9])).tolist()
    [0.0, 50.0, 100.0]
    """
    return np.asarray(np.clip(100 * np.log(p_values) / np.log(FULL_SEVERITY_P), 0, 100) + 0.0).round(6)


def f_beta_threshold(normal: np.ndarray, anomalous: np.ndarray, beta: float, normal_weight: float = 1.0) -> float:
    """Return the threshold with the largest F-beta; a record is an anomaly above it.

    Args:
        normal: (m,) scores of held-out normal records.
        anomalous: (n,) scores of known anomalies.
        beta: weight of recall against precision.
        normal_weight: how many normal records each score stands for.

    Raises:
        RecordsError: If there are no anomalies.
    """
    if not len(anomalous):
        raise RecordsError(
            "No record is labelled as an anomaly; a threshold by F-beta needs some. "
            'Label anomalies in the table, or use threshold = "conformal".'
        )
    from sklearn.metrics import precision_recall_curve

    scores = np.concatenate([normal, anomalous])
    labels = np.repeat([False, True], [len(normal), len(anomalous)])
    weights = np.where(labels, 1.0, normal_weight)
    precision, recall, thresholds = precision_recall_curve(labels, scores, sample_weight=weights)
    weighted = beta**2 * precision + recall
    f_beta = np.divide((1 + beta**2) * precision * recall, weighted, out=np.zeros_like(recall), where=weighted > 0)
    best = thresholds[int(np.argmax(f_beta[:-1]))]
    return float(np.nextafter(best, -np.inf))  # the curve counts scores >= best as anomalies


def conformal_rank(rate: float, m: int) -> int:
    """Return the largest k for which k / (m + 1) <= rate: how many of m calibration records and a new one are flagged.

    >>> conformal_rank(0.05, 99), conformal_rank(0.05, 98)
    (5, 4)
    """
    return int(np.floor(rate * (m + 1) + ROUNDING))


def rate_bounds(rate: float, m: int) -> tuple[float, float]:
    """Return the bounds of the realised false-positive rate, which has them with 95 % certainty.

    The share of all normal records above the k-th largest of m exchangeable scores is distributed as Beta(k, m + 1 - k)
    (Vovk, *Conditional validity of inductive conformal predictors*, 2012).

    >>> [round(bound, 3) for bound in rate_bounds(0.05, 115)], [round(bound, 4) for bound in rate_bounds(0.01, 10_000)]
    ([0.014, 0.087], [0.0081, 0.012])
    """
    rank = conformal_rank(rate, m)
    return _beta_quantile((1 - CERTAINTY) / 2, rank, m), _beta_quantile((1 + CERTAINTY) / 2, rank, m)


def _beta_quantile(share: float, rank: int, m: int) -> float:
    """Return the quantile of Beta(rank, m + 1 - rank), whose tail is that of a binomial distribution."""
    below, above = 0.0, 1.0
    counts = range(rank)
    ways = [math.lgamma(m + 1) - math.lgamma(count + 1) - math.lgamma(m - count + 1) for count in counts]
    for _ in range(_BISECTIONS):
        x = (below + above) / 2
        fewer = (way + count * math.log(x) + (m - count) * math.log1p(-x) for count, way in enumerate(ways))
        if 1 - math.fsum(map(math.exp, fewer)) < share:
            below = x
        else:
            above = x
    return (below + above) / 2
