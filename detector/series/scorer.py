"""SeriesScorer: scores, decisions and causes of a trained model of series, with a calibration for each entity."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from detector.core.about import About
from detector.core.blob import artifact_error
from detector.core.calibration import Calibration, conformal_rank
from detector.core.drift import Profile
from detector.core.normal_band import NormalBand
from detector.core.scorer import ReadPast, StoredThreshold, score_frame
from detector.core.threshold_tracking import USUAL_AFTER, Tracker, Trackers
from detector.core.vae_scores import Scored, VaeRecords, VaeScores
from detector.series.artifact import SeriesArtifact
from detector.series.drift import ProfileInContext
from detector.series.entity_model import Causes
from detector.series.model import SHARED, SeriesModel
from detector.series.segments import Segment, positions_of
from schemas.errors import RateTooSmall, RecordsError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE, SEVERITY, THRESHOLD, Cause, Explanation


@dataclass(frozen=True)
class EntityThreshold:
    """The calibration of an entity's scores, and the threshold at one false-positive rate.

    Attributes:
        calibration: held-back normal scores.
        threshold: above it a record is an anomaly; infinite if the calibration scores are too few for the rate.
        reference: (m,) the calibration scores in the order of their records.
        rate: the false-positive rate.
        is_pooled: whether the calibration scores are of several entities, since the entity's own were too few.
    """

    calibration: Calibration
    threshold: float
    reference: np.ndarray
    rate: float
    is_pooled: bool = False

    @classmethod
    def fit(cls, scores: np.ndarray, rate: float, *, is_pooled: bool = False) -> "EntityThreshold":
        """Set the threshold by held-back normal scores (m,)."""
        calibration = Calibration.fit(scores)
        is_enough = conformal_rank(rate, len(scores)) >= 1
        return cls(calibration, calibration.threshold(rate) if is_enough else np.inf, scores, rate, is_pooled)

    @cached_property
    def tracker(self) -> Tracker:
        """The tracker that entities start with: all that share the calibration scores start with the same one."""
        return Tracker.start(self.reference, self.rate)

    @property
    def only_ranks(self) -> bool:
        """Whether the calibration scores are too few to flag anything at the rate."""
        return bool(np.isinf(self.threshold))


class SeriesScorer:
    """Scores records with their past; the same record and past always get the same score, bit for bit.

    Args:
        artifact: the trained model.
        rate: a false-positive rate in place of the one that the model was trained with.

    Raises:
        ArtifactError: If the profile of the training records is not as it was written.
    """

    has_rate = True

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
    def about(self) -> About:
        """The origin of the model."""
        return About.from_json(self.artifact.about)

    @property
    def context_rows(self) -> int:
        """The largest number of earlier records of its entity that a score depends on."""
        return self.model.context_rows

    @property
    def highest_severity(self) -> float:
        """The highest severity of a score of any entity."""
        thresholds = [*self._entity_thresholds.values(), *([self._shared] if self._shared else [])]
        return max(entity_threshold.calibration.highest_severity() for entity_threshold in thresholds)

    @property
    def smallest_rate(self) -> float:
        """The smallest rate that the entity with the most calibration scores can resolve."""
        return 1 / (1 + self.most_calibration_scores)

    @property
    def most_calibration_scores(self) -> int:
        """The largest number of calibration scores of an entity."""
        thresholds = [*self._entity_thresholds.values(), *([self._shared] if self._shared else [])]
        return max(len(entity_threshold.calibration.scores) for entity_threshold in thresholds)

    def bind(self, page: pd.DataFrame, read_past: ReadPast, trackers: Trackers | None = None) -> "BoundSeriesScorer":
        """Return the scorer of a page of records with their past; records that no model can score are left out.

        Args:
            page: the records; the labels of its index are unique.
            read_past: reads the past of the records.
            trackers: of the thresholds, which scoring advances; without trackers thresholds are fixed.
        """
        segments: Sequence[Segment] = read_past(page, self.artifact.features, self.context_rows)
        return BoundSeriesScorer(self, page.index, [part for part in segments if self.can_score(part.entity)], trackers)

    def at_rate(self, rate: float) -> Self:
        """Return the same model at another false-positive rate.

        Raises:
            RateTooSmall: If no entity has enough calibration scores to resolve the rate.
        """
        scorer = type(self)(self.artifact, rate)
        if rate < scorer.smallest_rate:
            raise RateTooSmall(rate, scorer.most_calibration_scores)
        return scorer

    def can_score(self, entity: str) -> bool:
        """Return whether a model scores the entity: its own, or the shared one."""
        return entity in self._entity_thresholds or self._shared is not None

    def unknown_entities(self, names: Sequence[str]) -> list[str]:
        """Return the entities that the model was not trained on, in order of name.

        A record without an entity, named "", counts only if no shared model scores it.
        """
        unknown = (name for name in sorted(names) if name not in self.artifact.entities)
        return [name for name in unknown if name or not self.can_score(name)]

    def entity_threshold(self, entity: str) -> EntityThreshold:
        """Return the calibration and the threshold of an entity.

        Raises:
            RecordsError: If no model scores the entity.
        """
        entity_threshold = self._entity_thresholds.get(entity, self._shared)
        if entity_threshold is None:
            raise RecordsError(
                f"Entity {entity!r} was not in the training records, and there is no shared model. "
                'Train again with its records, or with models = "auto".'
            )
        return entity_threshold

    def calibration_p_values(self) -> list[np.ndarray]:
        """Return the p-values of the calibration records of each model that scores a trained entity, in their order."""
        names = {name if self.model.has_own(name) else SHARED for name in self.artifact.entities}
        return [self.entity_threshold(name).calibration.p_values(self.model.reference(name)) for name in sorted(names)]

    def tracker(self, entity: str) -> Tracker:
        """Return the tracker that an entity starts with; its calibration scores must resolve the rate."""
        return self.entity_threshold(entity).tracker

    def trackers(self, stored: StoredThreshold, usual_after: int = USUAL_AFTER) -> Trackers:
        """Return trackers that start at the stored states, or at the calibration, with the configured rate.

        Args:
            stored: returns the state of an entity's threshold, or None if it has not started.
            usual_after: number of records after which a level of scores becomes usual.
        """

        def load(entity: str) -> Tracker:
            state = stored(entity)
            tracker = self.tracker(entity) if state is None else self._continued(entity, Tracker.from_state(state))
            return replace(tracker, rate=self.rate, usual_after=usual_after)

        return Trackers(load)

    def _continued(self, entity: str, tracker: Tracker) -> Tracker:
        """Return the tracker of a stored state, whose scores are compared with the calibration at the present rate.

        One of an earlier version is compared with it from now on.
        """
        if tracker.steady is not None and tracker.rate == self.rate:
            return tracker
        start = self.tracker(entity).steady
        if tracker.steady is None or start is None:
            return replace(tracker, steady=start)
        return replace(tracker, steady=replace(tracker.steady, threshold=start.threshold))

    def thresholds_of(self, entities: np.ndarray, scores: np.ndarray, trackers: Trackers | None = None) -> np.ndarray:
        """Return the threshold of each of n scores, in the order of the stream of records.

        Args:
            entities: (n,) of the records.
            scores: (n,) of the records.
            trackers: of the thresholds, which they advance record by record; without trackers thresholds are fixed.
        """
        thresholds = np.full(len(scores), np.nan)
        for entity, rows in positions_of(entities).items():
            thresholds[rows] = self.thresholds(entity, scores[rows], trackers)
        return thresholds

    def thresholds(self, entity: str, scores: np.ndarray, trackers: Trackers | None = None) -> np.ndarray:
        """Return (n,) thresholds of an entity's scores, in the order of the stream of records."""
        entity_threshold = self.entity_threshold(entity)
        if trackers is None or entity_threshold.only_ranks:
            return np.full(len(scores), entity_threshold.threshold)
        return trackers.advance(entity, scores)

    def score(
        self, records: pd.DataFrame, segments: Sequence[Segment], trackers: Trackers | None = None
    ) -> pd.DataFrame:
        """Return one row per record on the records' index: the columns of `schemas.frames.SCORE_COLUMNS`.

        Args:
            records: the records to score; the next records of the stream if thresholds are tracked.
            segments: the records with their past; a record in no segment is not scored, and its numbers are NaN.
            trackers: of the thresholds, which scoring advances; without trackers thresholds are fixed.

        Raises:
            RecordsError: If an entity has no model, or the records lack features of the model.
        """
        scores, p_values, severities = np.full((3, len(records)), np.nan)
        vae = VaeScores.missing(len(records))
        for segment in segments:
            scored = self.model.scored(segment.entity, segment.series, len(segment.rows))
            scores[segment.rows] = scored.scores
            calibration = self.entity_threshold(segment.entity).calibration
            p_values[segment.rows] = calibration.p_values(scored.scores)
            severities[segment.rows] = calibration.severity(scored.scores, p_values[segment.rows])
            if scored.vae is not None:
                vae.put(segment.rows, scored.vae)
        thresholds = np.full(len(scores), np.nan)
        for entity, rows in _rows_of_entities(segments).items():
            thresholds[rows] = self.thresholds(entity, scores[rows], trackers)
        return score_frame(records.index, Scored(scores, vae), p_values, severities, thresholds)

    def judged(self, scored: pd.DataFrame, entities: np.ndarray, trackers: Trackers | None = None) -> pd.DataFrame:
        """Return scored records as this scorer would have scored them, at its own rate.

        The rate decides which entities share their calibration, and so p-values and severities too.
        """
        scores = scored[ANOMALY_SCORE].to_numpy()
        p_values, severities, thresholds = np.full((3, len(scores)), np.nan)
        is_scored = np.isfinite(scores)
        for entity, rows in positions_of(entities).items():
            known = rows[is_scored[rows]]
            if len(known):
                calibration = self.entity_threshold(entity).calibration
                p_values[known] = calibration.p_values(scores[known])
                severities[known] = calibration.severity(scores[known], p_values[known])
                thresholds[known] = self.thresholds(entity, scores[known], trackers)
        changed = {P_VALUE: p_values, SEVERITY: severities, THRESHOLD: thresholds, IS_ANOMALY: scores > thresholds}
        return scored.assign(**changed)

    def explain(self, rows: np.ndarray, scores: np.ndarray, top: int, segments: Sequence[Segment]) -> list[Explanation]:
        """Return the `top` causes of each of n scores, largest share first.

        Args:
            rows: (n,) positions of the records to explain.
            scores: (n,) of the records.
            top: number of causes.
            segments: the segments that the records were scored with.
        """
        score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        explanations: dict[int, Explanation] = {}
        for segment in segments:
            positions = [position for position, row in enumerate(segment.rows.tolist()) if row in score_of]
            if positions:
                causes = self.model.causes(segment.entity, segment.series)
                for position in positions:
                    row = int(segment.rows[position])
                    at = segment.own.start + position
                    explanations[row] = self._explanation(causes, segment.series.values[at], at, score_of[row], top)
        return [explanations[row] for row in rows.tolist()]

    def normal_band(self, records: int, segments: Sequence[Segment]) -> NormalBand:
        """Return the expected values of the records of a page and their normal band; NaN for a record in no segment.

        Args:
            records: number of records of the page.
            segments: the records with their past.
        """
        names = self.artifact.features.names
        band = NormalBand(names, *np.full((3, records, len(names)), np.nan))
        for segment in segments:
            parts = self.model.normal_band(segment.entity, segment.series)
            for whole, part in zip((band.expected, band.low, band.high), parts, strict=True):
                whole[segment.rows] = part[segment.own]
        return band

    def _explanation(self, causes: Causes, values: np.ndarray, at: int, score: float, top: int) -> Explanation:
        largest = np.argsort(-causes.share[at], kind="stable")[:top]
        return Explanation(tuple(self._causes(causes, values, at, score, largest)))

    def _causes(
        self, causes: Causes, values: np.ndarray, at: int, score: float, channels: np.ndarray
    ) -> Iterator[Cause]:
        names, numeric = self.artifact.features.names, len(self.artifact.features.numeric)
        evidence = causes.evidence
        for channel in channels.tolist():
            yield Cause(
                feature=names[channel],
                share=float(causes.share[at, channel] * abs(score)),
                deviation=float(causes.deviation[at, channel]),
                value=_value(float(values[channel]), is_boolean=channel >= numeric),
                expected=float(causes.expected[at, channel]),
                is_return=bool(causes.is_return[at, channel]),
                evidence=None if evidence is None else float(evidence[at, channel]),
            )


@dataclass(frozen=True)
class BoundSeriesScorer:
    """A scorer of series bound to the past of one page of records.

    Attributes:
        scorer: of series.
        index: of the page; its labels are unique.
        segments: the records of the page with their past.
        trackers: of the thresholds, if they are tracked.
    """

    scorer: SeriesScorer
    index: pd.Index
    segments: Sequence[Segment]
    trackers: Trackers | None = None

    @property
    def context_rows(self) -> int:
        """The largest number of earlier records of its entity that a score depends on."""
        return self.scorer.context_rows

    @property
    def profile(self) -> ProfileInContext | None:
        """The profile of the training records, bound to the page; None if the model has none."""
        profile = self.scorer.profile
        features = self.scorer.artifact.features
        return None if profile is None else ProfileInContext(profile, self.scorer.model, features, self.segments)

    def score(self, records: pd.DataFrame, vae_of: VaeRecords = "none") -> pd.DataFrame:  # noqa: ARG002 - one pass gives them
        """Return one row per record, as `SeriesScorer.score`; a model with a network gives all records VAE scores."""
        return self.scorer.score(records, self.segments, self.trackers)

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """Return the `top` causes of each of n scores of records of the page, largest share first."""
        return self.scorer.explain(self.index.get_indexer(records.index), scores, top, self.segments)

    def normal_band(self) -> NormalBand:
        """Return the expected values of the page's records and their normal band, in the order of the page."""
        return self.scorer.normal_band(len(self.index), self.segments)


def _profile_of(artifact: SeriesArtifact) -> Profile | None:
    profile = Profile.from_state(artifact.about.get("profile"))  # only models of monitors have one
    if profile is not None and profile.features.keys() != set(artifact.features.names):
        raise artifact_error("has the profile of other features than its own")
    return profile


def _entity_thresholds(model: SeriesModel, rate: float) -> dict[str, EntityThreshold]:
    """Return the threshold of each entity with its own model.

    Entities with too few calibration scores for the rate share one threshold, from their pooled scores. If the pool is
    too small as well, the scores of all entities are pooled: scores are in units of the entity's own usual scores.
    """
    thresholds = {name: EntityThreshold.fit(entity.reference, rate) for name, entity in model.entities.items()}
    only_ranked = [name for name, threshold in thresholds.items() if threshold.only_ranks]
    for names in (only_ranked, list(thresholds)):
        if len(names) > 1 and only_ranked and thresholds[only_ranked[0]].only_ranks:
            pool = np.concatenate([model.reference(name) for name in names])
            thresholds |= dict.fromkeys(only_ranked, EntityThreshold.fit(pool, rate, is_pooled=True))
    return thresholds


def _rows_of_entities(segments: Sequence[Segment]) -> dict[str, np.ndarray]:
    """Return the positions of each entity's records, in ascending order."""
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    for segment in segments:
        rows[segment.entity].append(segment.rows)
    return {entity: np.sort(np.concatenate(parts)) for entity, parts in rows.items()}


def _value(value: float, *, is_boolean: bool) -> Any:
    """Return the value of a channel as in its record: None if missing, bool for a flag."""
    if np.isnan(value):
        return None
    return bool(value) if is_boolean else value
