"""RecordScorer: scores, p-values and decisions of a trained model of single records."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd

from detector.core.about import About
from detector.core.calibration import benjamini_hochberg
from detector.core.drift import Profile
from detector.core.scorer import ReadPast, StoredThreshold, score_frame
from detector.core.threads import usual_threads
from detector.core.threshold_tracking import Trackers
from detector.core.vae_scores import Scored, VaeRecords
from detector.records.artifact import Artifact
from detector.records.model import Model
from detector.records.numpy_network import NumpyNetwork
from schemas.frames import Explanation


class RecordScorer:
    """Scores records with one artifact; the same record always gets the same score and p-value, bit for bit.

    Args:
        artifact: the trained model.
        rate: a false-positive rate in place of the one that the model was trained with; a threshold by
            F-beta has none and stays.
        false_discovery_rate: if set, decides in place of the threshold: on average at most this share of the flagged
            records of a batch is normal.
        threads: number of threads that score; None for as many as matrix products use.
        model: the model of the artifact, if it is built already.

    Raises:
        RateTooSmall: If the calibration records cannot resolve the rate.
        ArtifactError: If the profile of the training records is not as it was written.
    """

    context_rows = 0

    def __init__(
        self,
        artifact: Artifact,
        rate: float | None = None,
        *,
        false_discovery_rate: float | None = None,
        threads: int | None = None,
        model: Model | None = None,
    ) -> None:
        self.artifact = artifact
        self.false_discovery_rate = false_discovery_rate
        self.threads = usual_threads() if threads is None else threads
        self.profile = Profile.from_state(artifact.about.get("profile"))  # only models of monitors have one
        self.threshold = artifact.decision.threshold  # a record is an anomaly above it
        if rate is not None and self.has_rate:
            self.threshold = artifact.calibration.threshold(rate)
        self.model = _model(artifact) if model is None else model

    @property
    def about(self) -> About:
        """The origin of the model."""
        return About.from_json(self.artifact.about)

    @property
    def has_rate(self) -> bool:
        """Whether the threshold is set by a false-positive rate, not by labels."""
        return self.artifact.decision.method != "f_beta"

    @property
    def highest_severity(self) -> float:
        """The severity of a score beyond all others."""
        return self.artifact.calibration.highest_severity()

    def bind(self, page: pd.DataFrame, read_past: ReadPast, trackers: Trackers | None = None) -> Self:  # noqa: ARG002 - records are scored alone
        """Return the scorer itself: the score of a record depends on no other record."""
        return self

    def at_rate(self, rate: float) -> Self:
        """Return the same model at another false-positive rate.

        Raises:
            RateTooSmall: If the calibration records cannot resolve the rate.
        """
        return type(self)(self.artifact, rate, threads=self.threads, model=self.model)

    def thresholds_of(self, entities: np.ndarray, scores: np.ndarray, trackers: Trackers | None = None) -> np.ndarray:  # noqa: ARG002 - all entities share one threshold
        """Return the threshold of each of n scores."""
        return np.full(len(scores), self.threshold)

    def trackers(self, stored: StoredThreshold) -> None:  # noqa: ARG002 - there is nothing to track
        """Return None: the threshold does not move."""
        return

    def can_score(self, entity: str) -> bool:  # noqa: ARG002 - entities play no part
        """Return True: records of every entity are scored."""
        return True

    def unknown_entities(self, names: Sequence[str]) -> list[str]:  # noqa: ARG002 - entities play no part
        """Return an empty list: the model ignores entities."""
        return []

    def score(self, records: pd.DataFrame, vae_of: VaeRecords = "none") -> pd.DataFrame:
        """Return one row per record, on the index of the records, with the columns of `schemas.frames.SCORE_COLUMNS`.

        Args:
            records: to score.
            vae_of: the records whose VAE scores are needed; they may be NaN for all others.

        Raises:
            RecordsError: If there are no records, or they lack features of the model.
        """
        scored = self._scored(records, vae_of)
        p_values = self.artifact.calibration.p_values(scored.scores)
        severities = self.artifact.calibration.severity(scored.scores, p_values)
        return score_frame(records.index, scored, p_values, severities, self._threshold(scored.scores, p_values))

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """Return the `top` causes of each of n scores, largest share first."""
        return self.model.explain(records, scores, top) if len(records) else []

    def normal_band(self) -> None:
        """Return None: a record by itself has no course in time."""
        return

    def _scored(self, records: pd.DataFrame, vae_of: VaeRecords) -> Scored:
        if vae_of == "none":
            return Scored(self.model.anomaly_score(records, self.threads))
        return self.model.scored(records, None if vae_of == "all" else self._may_be_flagged, self.threads)

    def _may_be_flagged(self, scores: np.ndarray) -> np.ndarray:
        """Return whether records (n,) may be anomalies, whatever other records they are scored with."""
        if self.false_discovery_rate is None:
            return scores > self.threshold
        largest = self.false_discovery_rate * (1 + 1e-9)  # of the p-values of discoveries, rounding aside
        return np.asarray(self.artifact.calibration.p_values(scores) <= largest)

    def _threshold(self, scores: np.ndarray, p_values: np.ndarray) -> float:
        """Return the score above which records scored together are anomalies; infinite if none is."""
        if self.false_discovery_rate is None:
            return self.threshold
        flagged = scores[benjamini_hochberg(p_values, self.false_discovery_rate)]
        return float(np.nextafter(flagged.min(), -np.inf)) if len(flagged) else np.inf


def _model(artifact: Artifact) -> Model:
    network = NumpyNetwork(artifact.architecture, artifact.encoder.layout, artifact.weights)
    return Model(artifact.config, artifact.encoder, network, artifact.reference, artifact.typical_nll)
