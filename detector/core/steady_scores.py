"""Steady scores: whether the scores of a stream lie as those of calibration do, and for how long they have been high.

A threshold that follows the scores cannot tell a weak fault that lasts from normal scores that drift away. But as long
as a stream is steady, it has not drifted: no more scores lie above the median and above the 90 % quantile of
calibration than there do, or hardly more. Then scores that stay high for longer than they ever did in calibration are a
fault, although none of them is very high.

The evidence for that is a cumulative sum (Page, *Continuous Inspection Schemes*, 1954) of what the scores exceed the
90 % quantile of calibration, each by no more than the 99 % quantile does. It never falls below zero and slowly fades.
It has to be larger than it ever is in calibration, and than that of `MIN_EVIDENCE_RECORDS` at the 99 % quantile.
"""

import sys
from dataclasses import dataclass
from typing import Self

import numpy as np

HIGH_QUANTILE, TOP_QUANTILE = 0.9, 0.99  # of calibration scores
MAX_HIGH_SHARE, MAX_UPPER_SHARE = 0.2, 0.6  # of a steady stream above the high quantile and above the median
MIN_RECORDS = 128  # of a stream, until it can be steady
PRIOR_RECORDS = 128  # that lie as in calibration, before the first
SHARE_HALF_LIFE = 1024  # records
EVIDENCE_HALF_LIFE = 256  # records
MIN_EVIDENCE_RECORDS = 24
_LEAST_SHARE = 1 - 0.5 ** (1 / SHARE_HALF_LIFE)  # of a record in the shares
_EVIDENCE_KEPT = 0.5 ** (1 / EVIDENCE_HALF_LIFE)  # with each record


@dataclass(slots=True)
class SteadyScores:
    """The scores of a stream next to those of calibration; moves with each record.

    Attributes:
        threshold: the conformal threshold.
        median: of the calibration scores.
        high: their high quantile.
        top: their top quantile.
        limit: evidence above which an excess is sustained.
        records: number of records so far.
        high_share: decayed share of the records above `high`.
        upper_share: the same above the median.
        evidence: decayed sum of the recent excess.
        largest: of the calibration scores; without effect in states of earlier versions.
    """

    threshold: float
    median: float
    high: float
    top: float
    limit: float
    records: int = 0
    high_share: float = 1 - HIGH_QUANTILE
    upper_share: float = 0.5
    evidence: float = 0.0
    largest: float = sys.float_info.max

    @classmethod
    def start(cls, reference: np.ndarray, threshold: float) -> Self:
        """Start a stream.

        Args:
            reference: (m,) calibration scores in the order of their records.
            threshold: the conformal threshold.
        """
        median, high, top = (float(np.quantile(reference, share)) for share in (0.5, HIGH_QUANTILE, TOP_QUANTILE))
        calibration = cls(threshold, median, high, top, 0.0)
        limit, largest = calibration.largest_evidence(reference), float(reference.max())
        return cls(threshold, median, high, top, limit, largest=largest)

    def largest_evidence(self, scores: np.ndarray) -> float:
        """Return the largest evidence that the next scores (n,) give, at least that of `MIN_EVIDENCE_RECORDS`."""
        largest = MIN_EVIDENCE_RECORDS * (self.top - self.high)
        for score in scores.tolist():
            self.gather(score)
            largest = max(largest, self.evidence)
        return largest

    @property
    def is_steady(self) -> bool:
        """Whether the scores lie as those of calibration."""
        is_near = self.high_share <= MAX_HIGH_SHARE and self.upper_share <= MAX_UPPER_SHARE
        return is_near and self.records >= MIN_RECORDS

    def is_sustained(self, factor: float) -> bool:
        """Return whether the scores of a steady stream have been high for too long, by a factor of the limit."""
        return self.is_steady and self.evidence > factor * self.limit

    def gather(self, score: float) -> None:
        """Add the evidence of the next record."""
        self.evidence = max(0.0, _EVIDENCE_KEPT * self.evidence + min(score, self.top) - self.high)

    def count(self, score: float) -> None:
        """Count the next record among those of the stream."""
        weight = max(_LEAST_SHARE, 1 / (self.records + 1 + PRIOR_RECORDS))
        self.high_share += weight * ((score > self.high) - self.high_share)
        self.upper_share += weight * ((score > self.median) - self.upper_share)
        self.records += 1
