"""A model of series with the calibration of each entity: records with their past in, decisions and causes out."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from detector.core.blob import artifact_error
from detector.core.calibration import Calibration, conformal_rank, severity
from detector.core.drift import Profile
from detector.series.artifact import SeriesArtifact
from detector.series.drift import ProfileInContext
from detector.series.entity_model import Causes
from detector.series.model import SHARED, SeriesModel
from detector.series.segments import Segment
from detector.series.threshold_tracking import Tracker, Trackers
from schemas.errors import RecordsError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE, SEVERITY, THRESHOLD, Cause, Explanation


@dataclass(frozen=True)
class EntityThreshold:
    """What the scores of an entity mean.

    Attributes:
        calibration: held-back normal scores.
        threshold: above it a record is an anomaly; infinite where these are too few for the rate.
        is_pooled: whether they are of several entities, since those of one were too few.
    """

    calibration: Calibration
    threshold: float
    is_pooled: bool = False

    @classmethod
    def fit(cls, reference: np.ndarray, rate: float, *, is_pooled: bool = False) -> "EntityThreshold":
        """The judge by held-back normal scores (m,)."""
        calibration = Calibration.fit(reference)
        is_enough = conformal_rank(rate, len(reference)) >= 1
        return cls(calibration, calibration.threshold(rate) if is_enough else np.inf, is_pooled)

    @property
    def only_ranks(self) -> bool:
        """Whether its calibration records are too few to flag anything at the rate."""
        return bool(np.isinf(self.threshold))


class SeriesScorer:
    """Scores records with their past; the same record and past always get the same score, bit for bit.

    Args:
        artifact: the trained model.
        rate: a false-positive rate in place of the one that was asked for in training.

    Raises:
        ArtifactError: where the profile of the training records is not as it was written.
    """

    def __init__(self, artifact: SeriesArtifact, rate: float | None = None) -> None:
        self.artifact = artifact
        self.rate = artifact.rate if rate is None else rate
        self.model = artifact.model
        self.profile = _profile_of(artifact)
        self._entity_thresholds = _entity_thresholds(self.model, self.rate)
        self._shared = (
            None if self.model.shared is None else EntityThreshold.fit(self.model.shared.reference, self.rate)
        )

    @property
    def smallest_rate(self) -> float:
        """The rate that the entity with the most calibration records can tell apart."""
        judges = [*self._entity_thresholds.values(), *([self._shared] if self._shared else [])]
        return 1 / (1 + max(len(entity_threshold.calibration.reference) for entity_threshold in judges))

    def can_score(self, entity: str) -> bool:
        """Whether a model scores the entity: its own, or the shared one where there is one."""
        return entity in self._entity_thresholds or self._shared is not None

    def entity_threshold(self, entity: str) -> EntityThreshold:
        """What the entity's scores mean.

        Raises:
            RecordsError: where no model knows it.
        """
        entity_threshold = self._entity_thresholds.get(entity, self._shared)
        if entity_threshold is None:
            raise RecordsError(
                f"Entity {entity!r} was not in the training records, and there is no shared model. "
                'Train again with its records, or with models = "auto".'
            )
        return entity_threshold

    def calibration_p_values(self) -> list[np.ndarray]:
        """Of each model that scores an entity of the training: p-values of its calibration records, in their order."""
        names = {name if self.model.has_own(name) else SHARED for name in self.artifact.entities}
        return [self.entity_threshold(name).calibration.p_values(self.model.reference(name)) for name in sorted(names)]

    def tracker(self, entity: str) -> Tracker:
        """The tracker that the stream of an entity starts with, whose judge does not only rank."""
        return Tracker.start(self.entity_threshold(entity).calibration.reference, self.rate)

    def thresholds(self, entity: str, scores: np.ndarray, trackers: Trackers | None = None) -> np.ndarray:
        """(n,) the threshold of each of an entity's scores, in the order in which their records came.

        Args:
            entity: whose.
            scores: (n,) of records.
            trackers: move the threshold on from record to record; without them it is fixed.
        """
        entity_threshold = self.entity_threshold(entity)
        if trackers is None or entity_threshold.only_ranks:
            return np.full(len(scores), entity_threshold.threshold)
        return trackers.advance(entity, scores)

    def score(
        self, records: pd.DataFrame, segments: Sequence[Segment], trackers: Trackers | None = None
    ) -> pd.DataFrame:
        """One row per record on the records' index: the columns of `schemas.frames.SCORE_COLUMNS`.

        Args:
            records: to score, the next ones of the stream where thresholds are tracked.
            segments: each of the records in one of them, with its past; one in none is not scored, and has no numbers.
            trackers: of the thresholds; without them these are fixed. They are advanced.

        Raises:
            RecordsError: where an entity has no model, or the records do not have the model's features.
        """
        scores, p_values = np.full((2, len(records)), np.nan)
        for segment in segments:
            found = self.model.scores(segment.entity, segment.series)[segment.own]
            scores[segment.rows] = found
            p_values[segment.rows] = self.entity_threshold(segment.entity).calibration.p_values(found)
        thresholds = np.full(len(scores), np.nan)
        for entity, rows in _rows_of_entities(segments).items():
            thresholds[rows] = self.thresholds(entity, scores[rows], trackers)
        columns = {
            ANOMALY_SCORE: scores,
            P_VALUE: p_values,
            SEVERITY: severity(p_values),
            THRESHOLD: thresholds,
            IS_ANOMALY: scores > thresholds,
        }
        return pd.DataFrame(columns, index=records.index)

    def explain(self, rows: np.ndarray, scores: np.ndarray, top: int, segments: Sequence[Segment]) -> list[Explanation]:
        """The `top` causes of each of n scores, largest share first.

        Args:
            rows: (n,) positions of the records that have these scores.
            scores: (n,) of them.
            top: how many causes.
            segments: as they were scored.
        """
        score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        found: dict[int, Explanation] = {}
        for segment in segments:
            wanted = [position for position, row in enumerate(segment.rows.tolist()) if row in score_of]
            if wanted:
                causes = self.model.causes(segment.entity, segment.series)
                for position in wanted:
                    row = int(segment.rows[position])
                    at = segment.own.start + position
                    found[row] = self._explanation(causes, segment.series.values[at], at, score_of[row], top)
        return [found[row] for row in rows.tolist()]

    def _explanation(self, causes: Causes, values: np.ndarray, at: int, score: float, top: int) -> Explanation:
        largest = np.argsort(-causes.share[at], kind="stable")[:top]
        return Explanation(tuple(self._causes(causes, values, at, score, largest)))

    def _causes(
        self, causes: Causes, values: np.ndarray, at: int, score: float, channels: np.ndarray
    ) -> Iterator[Cause]:
        names, numeric = self.artifact.features.names, len(self.artifact.features.numeric)
        for channel in channels.tolist():
            yield Cause(
                feature=names[channel],
                share=float(causes.share[at, channel] * score),
                deviation=float(causes.deviation[at, channel]),
                value=_value(float(values[channel]), is_boolean=channel >= numeric),
                expected=float(causes.expected[at, channel]),
                is_return=bool(causes.is_return[at, channel]),
            )


@dataclass(frozen=True)
class BoundSeriesScorer:
    """A scorer of series bound to the past of some records, with the interface of the scorer of single records.

    Attributes:
        scorer: of series.
        index: of the records' frame; its labels are unique.
        segments: the records with their past.
        trackers: of the thresholds, where these are tracked.
    """

    scorer: SeriesScorer
    index: pd.Index
    segments: Sequence[Segment]
    trackers: Trackers | None = None

    @property
    def profile(self) -> ProfileInContext | None:
        """Counts the records in the bins of the training; None where the model has none."""
        profile = self.scorer.profile
        features = self.scorer.artifact.features
        return None if profile is None else ProfileInContext(profile, self.scorer.model, features, self.segments)

    def score(self, records: pd.DataFrame) -> pd.DataFrame:
        """One row per record, as `SeriesScorer.score`."""
        return self.scorer.score(records, self.segments, self.trackers)

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """The `top` causes of each of n scores of some of the records, largest share first."""
        return self.scorer.explain(self.index.get_indexer(records.index), scores, top, self.segments)


def _profile_of(artifact: SeriesArtifact) -> Profile | None:
    profile = Profile.from_state(artifact.about.get("profile"))  # models of other origin have none
    if profile is not None and profile.features.keys() != set(artifact.features.names):
        raise artifact_error("has the profile of other features than its own")
    return profile


def _entity_thresholds(model: SeriesModel, rate: float) -> dict[str, EntityThreshold]:
    """The judge of each entity with its own model; those with too few calibration records for the rate share one.

    Theirs are laid together and, where that is too few as well, those of all entities: scores are in units of the
    entity's own usual ones.
    """
    judges = {name: EntityThreshold.fit(entity.reference, rate) for name, entity in model.entities.items()}
    few = [name for name, entity_threshold in judges.items() if entity_threshold.only_ranks]
    for names in (few, list(judges)):
        if len(names) > 1 and few and judges[few[0]].only_ranks:
            pool = np.concatenate([model.reference(name) for name in names])
            judges |= dict.fromkeys(few, EntityThreshold.fit(pool, rate, is_pooled=True))
    return judges


def _rows_of_entities(segments: Sequence[Segment]) -> dict[str, np.ndarray]:
    """Where the records of each entity are, in ascending order."""
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    for segment in segments:
        rows[segment.entity].append(segment.rows)
    return {entity: np.sort(np.concatenate(parts)) for entity, parts in rows.items()}


def _value(value: float, *, is_boolean: bool) -> Any:
    """A channel's value as its record has it."""
    if np.isnan(value):
        return None
    return bool(value) if is_boolean else value
