"""What a model makes of records whose kind is known: held-out normal ones, known anomalies, synthetic ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import betabinom

from detector.core.calibration import conformal_rank
from detector.core.comparison import FlaggedCount, Performance
from detector.core.evaluation import auroc_between
from detector.core.subsample import subsample_evenly
from detector.records.encoder import Encoder
from detector.records.held_out_elbo import held_out_elbo
from detector.records.scorer import Scorer
from detector.records.synthetic import synthetic_anomalies
from schemas.frames import ANOMALY_SCORE

CONFIDENCE = 0.99  # share of the sound models whose count of flagged records lies within the tolerance
MOST_PERTURBED_RECORDS = 1_000


@dataclass(frozen=True)
class Trial:
    """The records that models are tried on.

    Attributes:
        normal: held-out normal records, none of which the challenger has seen; may be empty.
        known: anomalies and false alarms that people know of, by kind; no kind is empty.
        synthetic: anomalies made of normal records, by kind.
        material: the normal records that these were made of.
    """

    normal: pd.DataFrame
    known: Mapping[str, pd.DataFrame]
    synthetic: Mapping[str, pd.DataFrame]
    material: pd.DataFrame

    @classmethod
    def of(
        cls, normal: pd.DataFrame, spare: pd.DataFrame, known: Mapping[str, pd.DataFrame], encoder: Encoder, seed: int
    ) -> "Trial":
        """The trial on held-out records; anomalies are made of `spare` ones where there are none."""
        source = normal if len(normal) else spare
        material = source.iloc[subsample_evenly(len(source), MOST_PERTURBED_RECORDS)]
        synthetic = synthetic_anomalies(material, encoder, np.random.default_rng(seed))
        columns = material.columns  # synthetic anomalies have the features of the encoder alone
        made = {kind: _with_columns(frame, material, columns) for kind, frame in synthetic.items()}
        return cls(normal, {kind: frame for kind, frame in known.items() if len(frame)}, made, material)


def perform(scorer: Scorer, trial: Trial, rate: float | None, *, with_elbo: bool) -> Performance:
    """Try a model.

    Args:
        scorer: the model at the threshold in force.
        trial: what on.
        rate: the false-positive rate asked for; None where the threshold was not set by one.
        with_elbo: whether its ELBO compares.

    Raises:
        RecordsError: where the records lack its features.
    """
    normal, known, synthetic, material = _scored(scorer, trial)
    everything = np.concatenate([scorer.artifact.calibration.reference, normal, material])
    elbo = held_out_elbo(scorer, trial.normal) if with_elbo and len(normal) else None
    measures = [np.array([scorer.threshold, elbo or 0.0]), *known.values(), *synthetic.values()]
    if (fault := _fault(everything, measures)) is not None:
        return Performance(records=len(normal), fault=fault)
    above = scorer.threshold
    return Performance(
        records=len(normal),
        flagged=int((normal > above).sum()),
        tolerance=None if rate is None else flagged_tolerance(len(normal), rate, scorer),
        found={kind: FlaggedCount(int((scores > above).sum()), len(scores)) for kind, scores in known.items()},
        recall={kind: float((scores > above).mean()) for kind, scores in synthetic.items()},
        auroc={kind: auroc_between(material, scores) for kind, scores in synthetic.items()},
        elbo=elbo,
    )


def flagged_tolerance(n: int, rate: float, scorer: Scorer) -> tuple[int, int]:
    """Fewest and most of n normal records that a sound model flags, in 99 of 100 cases.

    A conformal threshold is itself an order statistic of m calibration scores, so the number above it is not
    binomial but beta-binomial: exact for every continuous score, as long as records are exchangeable.
    """
    calibration = scorer.artifact.calibration
    m = len(calibration.reference)
    rank = rate * (m + 1) if calibration.tail else conformal_rank(rate, m)
    low, high = betabinom(n, rank, m + 1 - rank).interval(CONFIDENCE)
    return int(low), int(high)


def _scored(
    scorer: Scorer, trial: Trial
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Scores of the normal records, known anomalies, synthetic ones, and what these were made of."""

    def score(records: pd.DataFrame) -> np.ndarray:
        return scorer.score(records)[ANOMALY_SCORE].to_numpy() if len(records) else np.zeros(0)

    known = {kind: score(frame) for kind, frame in trial.known.items()}
    synthetic = {kind: score(frame) for kind, frame in trial.synthetic.items()}
    return score(trial.normal), known, synthetic, score(trial.material)


def _fault(normal: np.ndarray, others: list[np.ndarray]) -> str | None:
    if not all(np.isfinite(numbers).all() for numbers in [normal, *others]):
        return "its scores are not all finite"
    if normal.min() == normal.max():
        return f"it gives every normal record the same score, {normal[0]:g}"
    return None


def _with_columns(frame: pd.DataFrame, material: pd.DataFrame, columns: pd.Index) -> pd.DataFrame:
    """Synthetic anomalies with every column of the records that they were made of: a rival may have other features."""
    others = material.loc[frame.index, [name for name in columns if name not in frame.columns]]
    return pd.concat([frame, others], axis=1)
