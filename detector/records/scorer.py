"""RecordScorer: scores, p-values and decisions of a trained model of single records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from detector.core.about import About
from detector.core.calibration import ROUNDING, benjamini_hochberg
from detector.core.drift import Profile
from detector.core.online_fdr import DiscoveryLevels, thresholds_at
from detector.core.scorer import ReadPast, StoredThreshold, score_frame
from detector.core.threads import usual_threads
from detector.core.threshold_tracking import Trackers
from detector.core.vae_scores import Scored, VaeRecords
from detector.records.artifact import Artifact
from detector.records.model import Model
from detector.records.numpy_network import NumpyNetwork
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, THRESHOLD, UNGROUPED_ENTITY, Explanation


class RecordScorer:
    """Scores records with one artifact; the same record always gets the same score and p-value, bit for bit.

    Args:
        artifact: the trained model.
        rate: a false-positive rate in place of the one that the model was trained with; a threshold by
            F-beta has none and stays.
        false_discovery_rate: if set, decides in place of the threshold: on average at most this share of the flagged
            records of a batch is normal.
        discovery_levels: if set, decide in place of the threshold in a stream of records; a record outside of a stream
            is judged by their base level.
        threads: number of threads that score; None for as many as matrix products use.
        model: the model of the artifact, if it is built already.

    Raises:
        RateTooSmall: If the calibration records cannot resolve the rate, or the base level.
        ArtifactError: If the profile of the training records is not as it was written.
    """

    context_rows = 0

    def __init__(
        self,
        artifact: Artifact,
        rate: float | None = None,
        *,
        false_discovery_rate: float | None = None,
        discovery_levels: DiscoveryLevels | None = None,
        threads: int | None = None,
        model: Model | None = None,
    ) -> None:
        self.artifact = artifact
        self.false_discovery_rate = false_discovery_rate
        self.discovery_levels = discovery_levels
        self.threads = usual_threads() if threads is None else threads
        self.profile = Profile.from_state(artifact.about.get("profile"))  # only models of monitors have one
        self.threshold = artifact.decision.threshold  # a record is an anomaly above it
        if rate is not None and self.has_rate:
            self.threshold = artifact.calibration.threshold(rate)
        if discovery_levels is not None:
            discovery_levels.check(artifact.calibration)
            self.threshold = artifact.calibration.threshold(discovery_levels.base)
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

    def bind(
        self,
        page: pd.DataFrame,  # noqa: ARG002 - records are scored alone
        read_past: ReadPast,  # noqa: ARG002 - records have no past
        trackers: Trackers | None = None,
    ) -> "Self | StreamScorer":
        """Return the scorer itself, as the score of a record depends on no other; in a stream, the stream's scorer."""
        return self if trackers is None else StreamScorer(self, trackers)

    def at_rate(self, rate: float) -> Self:
        """Return the same model at another false-positive rate.

        Raises:
            RateTooSmall: If the calibration records cannot resolve the rate.
        """
        return type(self)(self.artifact, rate, threads=self.threads, model=self.model)

    def thresholds_of(self, entities: np.ndarray, scores: np.ndarray, trackers: Trackers | None = None) -> np.ndarray:  # noqa: ARG002 - all entities share one threshold
        """Return the threshold of each of n scores, in the order of the stream of records."""
        if trackers is None:
            return np.full(len(scores), self.threshold)
        p_values = self.artifact.calibration.p_values(scores)
        levels = trackers.advance(UNGROUPED_ENTITY, p_values)
        return thresholds_at(self.artifact.calibration, levels, scores, p_values)

    def trackers(self, stored: StoredThreshold, usual_after: int) -> Trackers | None:  # noqa: ARG002 - of series alone
        """Return trackers of the levels of discoveries, which continue from the stored state; None without levels."""
        levels = self.discovery_levels
        if levels is None:
            return None

        def load(entity: str) -> DiscoveryLevels:
            state = stored(entity)
            return levels if state is None else levels.continued(state)

        return Trackers(load)

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

    def judged(self, scored: pd.DataFrame, entities: np.ndarray, trackers: Trackers | None = None) -> pd.DataFrame:
        """Return scored records as this scorer would have scored them, at its own rate."""
        scores = scored[ANOMALY_SCORE].to_numpy()
        thresholds: np.ndarray | float
        if trackers is None:
            thresholds = self._threshold(scores, self.artifact.calibration.p_values(scores))
        else:
            thresholds = self.thresholds_of(entities, scores, trackers)
        return scored.assign(**{THRESHOLD: thresholds, IS_ANOMALY: scores > thresholds})

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
        if self.false_discovery_rate is None and self.discovery_levels is None:
            return scores > self.threshold
        rate = self.false_discovery_rate if self.discovery_levels is None else self.discovery_levels.limit
        largest = (rate or 0.0) * (1 + ROUNDING)  # of the p-values of discoveries
        return np.asarray(self.artifact.calibration.p_values(scores) <= largest)

    def _threshold(self, scores: np.ndarray, p_values: np.ndarray) -> float:
        """Return the score above which records scored together are anomalies; infinite if none is."""
        if self.false_discovery_rate is None:
            return self.threshold
        flagged = scores[benjamini_hochberg(p_values, self.false_discovery_rate)]
        return float(np.nextafter(flagged.min(), -np.inf)) if len(flagged) else np.inf


@dataclass(frozen=True)
class StreamScorer:
    """A scorer of records whose thresholds follow the discoveries among the records before.

    Attributes:
        scorer: of records.
        trackers: of the levels, which scoring advances.
    """

    scorer: RecordScorer
    trackers: Trackers

    @property
    def context_rows(self) -> int:
        """Return 0: a score depends on no other record."""
        return 0

    @property
    def profile(self) -> Profile | None:
        """The profile of the training records; None if the model has none."""
        return self.scorer.profile

    def score(self, records: pd.DataFrame, vae_of: VaeRecords = "none") -> pd.DataFrame:
        """Return one row per record, as `RecordScorer.score`; these are the next records of the stream."""
        scored = self.scorer.score(records, vae_of)
        scores = scored[ANOMALY_SCORE].to_numpy()
        thresholds = self.scorer.thresholds_of(np.full(len(scores), UNGROUPED_ENTITY), scores, self.trackers)
        return scored.assign(**{THRESHOLD: thresholds, IS_ANOMALY: scores > thresholds})

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """Return the `top` causes of each of n scores, largest share first."""
        return self.scorer.explain(records, scores, top)

    def normal_band(self) -> None:
        """Return None: a record by itself has no course in time."""
        return


def _model(artifact: Artifact) -> Model:
    network = NumpyNetwork(artifact.architecture, artifact.encoder.layout, artifact.weights)
    return Model(
        artifact.config, artifact.encoder, network, artifact.reference, artifact.typical_nll, head=artifact.head
    )
