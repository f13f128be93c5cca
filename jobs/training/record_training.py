"""Trains models of single records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from detector.core.about import About
from detector.core.comparison import Performance
from detector.core.drift import Profile
from detector.core.subsample import subsample_evenly
from detector.records.artifact import dump_artifact, manifest
from detector.records.card import RecordCard
from detector.records.feature_types import drift_bins
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.held_out import HeldOutRecords, measure
from detector.records.held_out_elbo import elbo_difference
from detector.records.label_head_fitting import LabelledRecords, with_label_head
from detector.records.normal_records import NormalRecords
from detector.records.peer_comparison import record_card
from detector.records.scorer import RecordScorer
from jobs.kinds.records import discovery_levels
from jobs.reading.source import Source, keys_of
from jobs.store.feedback import Feedback
from jobs.training.champion_comparison import Rival
from jobs.training.outliers import describe_outliers, describe_unusual
from jobs.training.trainer import FittedModel, Progress
from jobs.training.training_set import MAX_HELD_OUT, Parts, TrainingSet, split_records, training_range
from jobs.unsteady_features import unsteady_features
from schemas.errors import SourceError
from schemas.keys import Key, keys_of_labels, load_key

MAX_LABELLED_RECORDS = 1_000  # of each kind that models are measured on: the newest ones


@dataclass(frozen=True)
class RecordTrainer:
    """Trains models of single records on one watched table.

    Attributes:
        source: the watched table.
    """

    source: Source

    def usable(self, normal: TrainingSet) -> TrainingSet:
        """Return all records: each is learned by itself."""
        return normal

    def split(self, normal: TrainingSet, rival: Rival[RecordScorer] | None) -> Parts:
        """Split normal records; those that the champion has not seen are preferred for the comparison."""
        return split_records(normal, self.source.monitor, None if rival is None else self._unseen_keys(rival))

    def fit(
        self, normal: TrainingSet, parts: Parts, feedback: Feedback, progress: Progress
    ) -> FittedModel[RecordScorer]:
        """Train and calibrate a model; the same records and labels give the same model."""
        monitor = self.source.monitor
        by_labels = monitor.threshold == "f_beta"
        rule = DecisionRule(
            monitor.first_threshold,
            monitor.false_positive_rate,
            monitor.f_beta,
            trusts_outliers=monitor.trust_outliers,
        )
        artifact = fit_artifact(
            parts.normal,
            monitor.features,
            monitor.model,
            rule=rule,
            anomalies=self.source.read_anomalies(monitor.max_training_records, []) if by_labels else None,
            progress=progress,
        )
        if monitor.retrain.learn_labels:
            labelled = self._labelled_records(feedback, parts)
            artifact = with_label_head(artifact, parts.normal.calibration, labelled, rule)
        p_values = artifact.calibration.p_values(artifact.calibration.scores)
        profile = Profile.fit(parts.normal.training, drift_bins(monitor.features), p_values, monitor.drift.records)
        training = training_range(normal, monitor, parts.copies)
        about = replace(About.from_json(artifact.about), training=training, profile=profile.to_state())
        artifact = replace(artifact, about=about.to_json())
        if (levels := discovery_levels(monitor)) is not None:
            levels.check(artifact.calibration)
        scorer = RecordScorer(artifact, monitor.false_positive_rate)
        return FittedModel(scorer, dump_artifact(artifact), manifest(artifact))

    def benchmark(
        self,
        fitted: FittedModel[RecordScorer],
        rival: Rival[RecordScorer] | None,
        parts: Parts,
        feedback: Feedback,
    ) -> "RecordBenchmark":
        """Return the held-out records, labelled records and synthetic anomalies, with how they are measured."""
        monitor, artifact = self.source.monitor, fitted.scorer.artifact
        labelled = self._labelled_by_kind(feedback, parts)
        champion = None if rival is None else rival.scorer
        difference = None if champion is None else elbo_difference(champion, fitted.scorer)
        return RecordBenchmark(
            HeldOutRecords.of(parts.held_out, parts.normal.calibration, labelled, artifact.encoder, monitor.model.seed),
            rate=None if monitor.threshold == "f_beta" else monitor.false_positive_rate,
            cells=artifact.architecture.width,
            note=f"The ELBOs do not compare, as {difference}." if difference else None,
        )

    def held_out(self, parts: Parts) -> pd.DataFrame:
        """Return the records that calibrate, and those held out for the comparison."""
        return pd.concat([parts.normal.calibration, parts.held_out], ignore_index=True)

    def card(self, fitted: FittedModel[RecordScorer], parts: Parts) -> RecordCard:
        """Make the card of the model, next to simple peers."""
        scorer, calibration = fitted.scorer, parts.normal.calibration
        outliers = np.zeros(len(calibration), dtype=bool)
        outliers[list(scorer.about.outlying)] = True
        usual = NormalRecords(parts.normal.training, calibration[~outliers])
        card = record_card(scorer.artifact, usual, len(fitted.blob))
        normal = pd.concat([usual.training, usual.calibration, parts.held_out])
        unsteady = unsteady_features(normal, self.source.monitor)
        lists = describe_outliers(scorer, calibration[outliers], self.source)
        lists |= describe_unusual(scorer, parts.normal.training, self.source)
        return replace(card, **lists, unsteady=unsteady)

    def _unseen_keys(self, rival: Rival[RecordScorer]) -> frozenset[Key]:
        """Return the keys of the newest normal records past those that the champion was made from."""
        upto_key = "" if rival.scorer is None else rival.scorer.about.training.upto_key
        if not upto_key:
            return frozenset()
        try:
            newer = self.source.read_normal_past(load_key(upto_key), 2 * MAX_HELD_OUT, [])
        except SourceError:  # the key is of another type now, so no record is certain to be past the old one
            return frozenset()
        return frozenset(keys_of(newer, self.source.monitor.key))

    def _labelled_by_kind(self, feedback: Feedback, parts: Parts) -> Mapping[str, pd.DataFrame]:
        """Read the records that people, the label column or the champion call anomalies or false alarms, by kind."""
        like = self._a_key(parts)
        labels = {"confirmed": "confirmed", "false_alarms": "false_positive"}
        by_kind = {
            kind: self._labelled(feedback.keys(label)[:MAX_LABELLED_RECORDS], like) for kind, label in labels.items()
        }
        flagged = [record for incident in parts.incidents for record in incident.records if record.label == "open"]
        rows = subsample_evenly(len(flagged), MAX_LABELLED_RECORDS).tolist()
        by_kind["flagged"] = self._labelled([flagged[row].key for row in rows], like)
        if self.source.monitor.label is not None:
            by_kind["labelled"] = self.source.read_anomalies(MAX_LABELLED_RECORDS, [])
        return by_kind

    def _labelled_records(self, feedback: Feedback, parts: Parts) -> LabelledRecords:
        """Read the newest records of each label that a person has set."""
        like = self._a_key(parts)
        keys = (feedback.keys(label)[:MAX_LABELLED_RECORDS] for label in ("confirmed", "false_positive"))
        return LabelledRecords(*(self._labelled(part, like) for part in keys))

    def _a_key(self, parts: Parts) -> Key:
        return keys_of(parts.normal.training.head(1), self.source.monitor.key)[0]

    def _labelled(self, key_labels: Sequence[str], like: Key) -> pd.DataFrame:
        """Read the records of keys that still exist; a key of another type has none."""
        return self.source.read_keys(list(keys_of_labels(key_labels, like)), [])


@dataclass(frozen=True)
class RecordBenchmark:
    """The records that models of single records are compared on.

    Attributes:
        records: to measure on.
        rate: the requested false-positive rate; None if no rate sets the threshold.
        cells: of the challenger's matrix.
        note: why the ELBOs do not compare; None if they do.
    """

    records: HeldOutRecords
    rate: float | None
    cells: int
    note: str | None

    def measure(self, scorer: RecordScorer) -> Performance:
        """Measure a model."""
        return measure(scorer, self.records, self.rate, with_elbo=self.note is None)
