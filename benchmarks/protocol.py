"""The one-class protocol: train on half of the normal records, measure on the other half and all anomalies.

Methods and choices use no labels.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.tables import LabelledTable, Mask, Vector
from detector.core.calibration import Calibration

RATES = (0.05, 0.01)


@dataclass(frozen=True)
class Split:
    """Training and test records of a method; `is_anomaly` belongs to the test records."""

    train: pd.DataFrame
    test: pd.DataFrame
    is_anomaly: Mask
    categorical: tuple[str, ...]


@dataclass(frozen=True)
class PValues:
    """Conformal p-values of the test records, and the number of calibration records."""

    values: Vector
    calibrated_on: int

    def realised_rate(self, rate: float, is_anomaly: Mask) -> float | None:
        """Return the share of normal test records flagged at a rate, or None if the rate cannot be resolved."""
        if rate * (self.calibrated_on + 1) < 1:
            return None
        return float(np.mean(self.values[~is_anomaly] <= rate))


@dataclass(frozen=True)
class Outcome:
    """The scores of one method on one split; `score_seconds` is None if several methods are scored at once."""

    method: str
    anomaly_score: Vector
    fit_seconds: float
    score_seconds: float | None = None
    p_values: PValues | None = None


@dataclass(frozen=True)
class Measurement:
    """One line of the results."""

    dataset: str
    kind: str
    method: str
    seed: int
    auroc: float
    average_precision: float
    fit_seconds: float
    score_rows_per_second: float | None
    realised_rates: tuple[float | None, ...]
    rows: int
    columns: int


def split(table: LabelledTable, seed: int) -> Split:
    """Split into a random half of the normal records for training, and the other half with all anomalies for tests."""
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(~table.is_anomaly))
    half = len(normal) // 2
    test = np.concatenate([normal[half:], np.flatnonzero(table.is_anomaly)])
    return Split(
        train=table.records.iloc[normal[:half]].reset_index(drop=True),
        test=table.records.iloc[test].reset_index(drop=True),
        is_anomaly=table.is_anomaly[test],
        categorical=table.categorical,
    )


def conformal(reference: Vector, scores: Vector) -> PValues:
    """Return split conformal p-values of scores, from the scores of calibration records."""
    return PValues(Calibration.fit(reference).p_values(scores), len(reference))


def measure(table: LabelledTable, part: Split, seed: int, outcome: Outcome) -> Measurement:
    """Compare an outcome with the labels."""
    p_values, seconds = outcome.p_values, outcome.score_seconds
    return Measurement(
        dataset=table.name,
        kind=table.kind,
        method=outcome.method,
        seed=seed,
        auroc=float(roc_auc_score(part.is_anomaly, outcome.anomaly_score)),
        average_precision=float(average_precision_score(part.is_anomaly, outcome.anomaly_score)),
        fit_seconds=outcome.fit_seconds,
        score_rows_per_second=len(part.test) / seconds if seconds else None,
        realised_rates=tuple(p_values.realised_rate(rate, part.is_anomaly) if p_values else None for rate in RATES),
        rows=len(table.records),
        columns=table.records.shape[1],
    )
