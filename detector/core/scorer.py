"""Scorer: the interface of trained models that score, both models of single records and models of series."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import pandas as pd

from detector.core.about import About
from detector.core.normal_band import NormalBand
from detector.core.threshold_tracking import Trackers
from detector.core.vae_scores import Scored, VaeRecords, VaeScores
from schemas.frames import (
    ANOMALY_SCORE,
    ELBO,
    IS_ANOMALY,
    P_VALUE,
    RECONSTRUCTION_ERROR,
    SEVERITY,
    THRESHOLD,
    Explanation,
    Features,
)

ReadPast: TypeAlias = Callable[[pd.DataFrame, Features, int], Sequence[Any]]
"""Reads the past of a page of records, for a number of moments; returns segments for the model."""
StoredThreshold: TypeAlias = Callable[[str], dict[str, Any] | None]
"""Returns the state of an entity's tracked threshold, or None if it has not started."""


class RecordProfile(Protocol):
    """A profile of training records that counts later records in its bins."""

    def counts(self, records: pd.DataFrame, p_values: np.ndarray) -> dict[str, list[int]]:
        """Count n records in each bin, by feature and by p-value; a record whose p-value is NaN does not count."""
        ...


class BoundScorer(Protocol):
    """A scorer that has everything it needs to score the records of one page."""

    @property
    def context_rows(self) -> int:
        """The number of earlier records of its entity that a score depends on; 0 if records are scored alone."""
        ...

    @property
    def profile(self) -> RecordProfile | None:
        """The profile of the training records, or None if the model has none."""
        ...

    def score(self, records: pd.DataFrame, vae_of: VaeRecords = "none") -> pd.DataFrame:
        """Return one row per record, on the records' index, with the columns of `schemas.frames.SCORE_COLUMNS`.

        Args:
            records: of the page.
            vae_of: the records whose VAE scores are needed; they may be NaN for all others.
        """
        ...

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """Return the `top` causes of each of n scores, largest share first."""
        ...

    def normal_band(self) -> NormalBand | None:
        """Return the expected values of the page's records in their order; None if values are not expected in time."""
        ...


class Scorer(Protocol):
    """A trained model with its calibration, at the false-positive rate that its monitor is configured with."""

    @property
    def about(self) -> About:
        """The origin of the model."""
        ...

    @property
    def context_rows(self) -> int:
        """The number of earlier records of its entity that a score depends on; 0 if records are scored alone."""
        ...

    @property
    def has_rate(self) -> bool:
        """Whether the threshold is set by a false-positive rate, not by labels."""
        ...

    @property
    def highest_severity(self) -> float:
        """The severity of a score beyond all others: below 100 only if the calibration scores are too few or equal."""
        ...

    def bind(self, page: pd.DataFrame, read_past: ReadPast, trackers: Trackers | None = None) -> BoundScorer:
        """Bind the scorer to a page of records and their past.

        Args:
            page: the records.
            read_past: reads the past of the records, if the model needs it.
            trackers: of the thresholds, which scoring advances; without trackers thresholds are fixed.
        """
        ...

    def at_rate(self, rate: float) -> Self:
        """Return the same model at another false-positive rate.

        Raises:
            RateTooSmall: If the calibration records cannot resolve the rate.
        """
        ...

    def thresholds_of(self, entities: np.ndarray, scores: np.ndarray, trackers: Trackers | None = None) -> np.ndarray:
        """Return the threshold (n,) of each score, in the order of the stream of records."""
        ...

    def judged(self, scored: pd.DataFrame, entities: np.ndarray, trackers: Trackers | None = None) -> pd.DataFrame:
        """Return scored records as this scorer would have scored them, at its own rate.

        Args:
            scored: as of `BoundScorer.score` of the same model at any rate; a record that is not scored stays so.
            entities: (n,) of the records.
            trackers: of the thresholds, which they advance record by record; without trackers thresholds are fixed.
        """
        ...

    def trackers(self, stored: StoredThreshold, usual_after: int) -> Trackers | None:
        """Return trackers of the thresholds that start at stored states, or None if thresholds cannot move.

        Args:
            stored: returns the state of an entity's threshold, or None if it has not started.
            usual_after: number of records after which a level of scores becomes usual.
        """
        ...

    def can_score(self, entity: str) -> bool:
        """Return whether the model scores records of the entity."""
        ...

    def unknown_entities(self, names: Sequence[str]) -> list[str]:
        """Return the entities that the model was not trained on, in order of name; empty if it ignores entities."""
        ...


def score_frame(
    index: pd.Index,
    scored: Scored,
    p_values: np.ndarray,
    severities: np.ndarray,
    thresholds: np.ndarray | float,
) -> pd.DataFrame:
    """Return the columns of `schemas.frames.SCORE_COLUMNS` for n scored records.

    Args:
        index: of the records.
        scored: their scores, NaN for a record that is not scored.
        p_values: (n,) of the scores.
        severities: (n,) of the scores.
        thresholds: (n,), or one for all records; a record with a score above its threshold is an anomaly.
    """
    vae = VaeScores.missing(len(index)) if scored.vae is None else scored.vae
    columns = {
        ANOMALY_SCORE: scored.scores,
        P_VALUE: p_values,
        SEVERITY: severities,
        THRESHOLD: thresholds,
        IS_ANOMALY: scored.scores > thresholds,
        RECONSTRUCTION_ERROR: vae.reconstruction_error,
        ELBO: vae.elbo,
    }
    return pd.DataFrame(columns, index=index)
