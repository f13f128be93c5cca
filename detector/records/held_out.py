"""Performance of a model on held-out normal records, known anomalies and synthetic anomalies."""

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
from detector.records.scorer import RecordScorer
from detector.records.synthetic import synthetic_anomalies
from schemas.frames import ANOMALY_SCORE

CONFIDENCE = 0.99  # share of the sound models whose count of flagged records lies within the tolerance
MAX_PERTURBED_RECORDS = 1_000


@dataclass(frozen=True)
class HeldOutRecords:
    """The records that models are measured on.

    Attributes:
        normal: held-out normal records, none of which the challenger has seen; may be empty.
        labelled: known anomalies and false alarms, by kind; no kind is empty.
        synthetic: anomalies made from normal records, by kind.
        material: the normal records that the synthetic anomalies were made from.
    """

    normal: pd.DataFrame
    labelled: Mapping[str, pd.DataFrame]
    synthetic: Mapping[str, pd.DataFrame]
    material: pd.DataFrame

    @classmethod
    def of(
        cls,
        normal: pd.DataFrame,
        spare: pd.DataFrame,
        labelled: Mapping[str, pd.DataFrame],
        encoder: Encoder,
        seed: int,
    ) -> "HeldOutRecords":
        """Make synthetic anomalies from the held-out records, or from `spare` records if no record is held out."""
        source = normal if len(normal) else spare
        material = source.iloc[subsample_evenly(len(source), MAX_PERTURBED_RECORDS)]
        synthetic = synthetic_anomalies(material, encoder, np.random.default_rng(seed))
        columns = material.columns  # synthetic anomalies have the features of the encoder alone
        completed = {kind: _with_columns(frame, material, columns) for kind, frame in synthetic.items()}
        return cls(normal, {kind: frame for kind, frame in labelled.items() if len(frame)}, completed, material)


def measure(scorer: RecordScorer, records: HeldOutRecords, rate: float | None, *, with_elbo: bool) -> Performance:
    """Measure a model.

    Args:
        scorer: the model at the threshold in force.
        records: the records to measure it on.
        rate: the requested false-positive rate; None if no rate sets the threshold.
        with_elbo: whether to measure the ELBO, too.

    Raises:
        RecordsError: If the records lack features of the model.
    """
    normal, labelled, synthetic, material = _scored(scorer, records)
    normal_scores = np.concatenate([scorer.artifact.calibration.scores, normal, material])
    elbo = held_out_elbo(scorer, records.normal) if with_elbo and len(normal) else None
    numbers = [np.array([scorer.threshold, elbo or 0.0]), *labelled.values(), *synthetic.values()]
    if (fault := _fault(normal_scores, numbers)) is not None:
        return Performance(records=len(normal), fault=fault)
    threshold = scorer.threshold
    return Performance(
        records=len(normal),
        flagged=int((normal > threshold).sum()),
        tolerance=None if rate is None else flagged_tolerance(len(normal), rate, scorer),
        found={kind: FlaggedCount(int((scores > threshold).sum()), len(scores)) for kind, scores in labelled.items()},
        recall={kind: float((scores > threshold).mean()) for kind, scores in synthetic.items()},
        auroc={kind: auroc_between(material, scores) for kind, scores in synthetic.items()},
        elbo=elbo,
    )


def flagged_tolerance(n: int, rate: float, scorer: RecordScorer) -> tuple[int, int]:
    """Return the fewest and the most of n normal records that a sound model flags, in 99 of 100 cases.

    A conformal threshold is itself an order statistic of m calibration scores, so the number above it is not
    binomial but beta-binomial: exact for every continuous score, as long as records are exchangeable.
    """
    calibration = scorer.artifact.calibration
    m = len(calibration.scores)
    rank = rate * (m + 1) if calibration.tail else conformal_rank(rate, m)
    low, high = betabinom(n, rank, m + 1 - rank).interval(CONFIDENCE)
    return int(low), int(high)


def _scored(
    scorer: RecordScorer, records: HeldOutRecords
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Return the scores of the normal records, the known records, the synthetic anomalies and their material."""

    def score(frame: pd.DataFrame) -> np.ndarray:
        return scorer.score(frame)[ANOMALY_SCORE].to_numpy() if len(frame) else np.zeros(0)

    labelled = {kind: score(frame) for kind, frame in records.labelled.items()}
    synthetic = {kind: score(frame) for kind, frame in records.synthetic.items()}
    return score(records.normal), labelled, synthetic, score(records.material)


def _fault(normal: np.ndarray, others: list[np.ndarray]) -> str | None:
    if not all(np.isfinite(numbers).all() for numbers in [normal, *others]):
        return "its scores are not all finite"
    if normal.min() == normal.max():
        return f"it gives every normal record the same score, {normal[0]:g}"
    return None


def _with_columns(frame: pd.DataFrame, material: pd.DataFrame, columns: pd.Index) -> pd.DataFrame:
    """Return synthetic anomalies with every column of their material: another model may have other features."""
    others = material.loc[frame.index, [name for name in columns if name not in frame.columns]]
    return pd.concat([frame, others], axis=1)
