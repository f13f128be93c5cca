"""Trains models of series: each entity's normal records, in order of time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from detector.core.about import About, PastEpoch
from detector.core.comparison import Performance
from detector.core.drift import Profile
from detector.core.keras_backend import backend_name
from detector.series.artifact import SeriesArtifact, dump_series, manifest
from detector.series.baseline_comparison import series_card
from detector.series.card import SeriesCard
from detector.series.clock import holiday_years
from detector.series.drift import fit_profile
from detector.series.fitting import HELD_BACK_SHARE
from detector.series.held_out_events import EventCase, event_cases, measure_events
from detector.series.model import SeriesModel
from detector.series.scorer import SeriesScorer
from detector.series.segments import Segment, concatenate, entities_of, positions_of, series_of
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from jobs.reading.source import Source, keys_of
from jobs.scoring.thresholds import new_trackers
from jobs.store.feedback import Feedback
from jobs.training.champion_comparison import Rival
from jobs.training.incident_sample import IncidentSample
from jobs.training.pace import pace_of
from jobs.training.trainer import FittedModel, Progress
from jobs.training.training_set import Parts, TrainingSet, placed_records, split_series, training_range
from schemas.config import MonitorConfig
from schemas.frames import IS_ANOMALY, Features
from schemas.holidays import read_holidays
from schemas.series import SeriesConfig

if TYPE_CHECKING:
    from detector.core.progress import Epoch

TOLERANCE_FACTOR = 2  # above the requested rate, and below it: records of a series resemble their neighbours


@dataclass(frozen=True)
class SeriesTrainer:
    """Trains models of series on one watched table.

    Attributes:
        source: the watched table.
    """

    source: Source

    def usable(self, normal: TrainingSet) -> TrainingSet:
        """Return the records that have a place in a series."""
        return placed_records(normal, self.source.monitor)

    def split(self, normal: TrainingSet, rival: Rival[SeriesScorer] | None) -> Parts:
        """Split normal records into training records and the newest; entities hold back records to calibrate."""
        seen = None if rival is None or rival.scorer is None else rival.scorer.about.training
        return split_series(normal, self.source.monitor, seen, is_first=rival is None)

    def fit(
        self,
        normal: TrainingSet,
        parts: Parts,
        feedback: Feedback,  # noqa: ARG002 - labels raise no score of series
        progress: Progress,
    ) -> FittedModel[SeriesScorer]:
        """Train and calibrate a model; the same records give the same model."""
        monitor = self.source.monitor
        series = by_entity(parts.normal.training, monitor, monitor.features)
        years = holiday_years([records.times for records in series.values()], monitor.time_zone)
        settings, history = settings_of(monitor.series or SeriesConfig(), monitor.time_zone, years), []

        def record(epoch: "Epoch") -> None:
            history.append(PastEpoch(**asdict(epoch)))
            if progress:
                progress(epoch)

        model = SeriesModel.fit(series, _cut_settings(settings, normal.shortest_cut), record)
        model = SeriesModel(model.entities, model.shared, model.width, settings)
        counts = {name: len(records) for name, records in series.items()}
        bare = SeriesArtifact(monitor.features, model, monitor.false_positive_rate, counts, {})
        about = About(
            training=training_range(normal, monitor),
            versions=_versions(with_network=settings.network),
            history=tuple(history),
            profile=_fit_profile(bare, series, monitor).to_state(),
            pace=pace_of(series.values()),
        )
        artifact = replace(bare, about=about.to_json() | {"grid": monitor.grid})
        return FittedModel(SeriesScorer(artifact), dump_series(artifact), manifest(artifact))

    def benchmark(
        self,
        fitted: FittedModel[SeriesScorer],
        rival: Rival[SeriesScorer] | None,
        parts: Parts,
        feedback: Feedback,  # noqa: ARG002 - labelled records lie apart from the newest
    ) -> "SeriesBenchmark":
        """Return the held-out records with their past, with events, and a sample of the incidents left out."""
        monitor, features = self.source.monitor, fitted.scorer.artifact.features
        if rival is None:
            return SeriesBenchmark(self.source, parts, fitted.scorer.rate)
        training = parts.normal.training
        cases = event_cases(
            by_entity(training, monitor, features),
            by_entity(parts.held_out, monitor, features),
            fitted.scorer.model.settings.max_gap,
            fitted.scorer.model.settings.seed,
        )
        like = keys_of(training.head(1), monitor.key)[0]
        sample = IncidentSample.read(parts.incidents, self.source, like) if parts.incidents else None
        found = None if sample is None or sample.records.empty else sample
        return SeriesBenchmark(self.source, parts, fitted.scorer.rate, cases, found)

    def held_out(self, parts: Parts) -> pd.DataFrame:
        """Return the records held out for the comparison, or the newest of each entity, by which it was calibrated."""
        if len(parts.held_out):
            return parts.held_out
        training = parts.normal.training
        is_newest = np.zeros(len(training), dtype=bool)
        for rows in positions_of(entities_of(training, self.source.monitor.entity)).values():
            times = training[self.source.monitor.time].iloc[rows]
            by_time = np.asarray(rows)[np.argsort(times.to_numpy(), kind="stable")]
            is_newest[by_time[int(np.ceil((1 - HELD_BACK_SHARE) * len(rows))) :]] = True
        return training[is_newest]

    def card(self, fitted: FittedModel[SeriesScorer], parts: Parts) -> SeriesCard:
        """Make the card of the model, next to plain baselines."""
        monitor, scorer = self.source.monitor, fitted.scorer
        series = by_entity(parts.normal.training, monitor, scorer.artifact.features)
        return series_card(scorer, series, monitor.threshold, len(fitted.blob))


@dataclass(frozen=True)
class SeriesBenchmark:
    """The records that models of series are compared on.

    Attributes:
        source: the watched table.
        parts: the held-out records, and their past.
        rate: the requested false-positive rate.
        cases: held-out records with injected events.
        incidents: that a model still has to flag; None if there are none.
    """

    source: Source
    parts: Parts
    rate: float
    cases: Sequence[EventCase] = ()
    incidents: IncidentSample | None = None
    note: None = None

    @property
    def monitor(self) -> MonitorConfig:
        """The monitor of the records."""
        return self.source.monitor

    @property
    def cells(self) -> int:
        """Channels of a record."""
        return len(self.monitor.features.names)

    def measure(self, scorer: SeriesScorer) -> Performance:
        """Measure a model on the held-out records, each with its past, on events in them and on incidents."""
        held_out = self.parts.held_out
        if held_out.empty:
            return Performance()
        segments = list(self._segments(scorer.artifact.features))
        flagged = scorer.score(held_out, segments, new_trackers(scorer, self.monitor))[IS_ANOMALY]
        usual = scorer.rate * len(held_out)
        tolerance = (int(usual / TOLERANCE_FACTOR), int(np.ceil(usual * TOLERANCE_FACTOR)))
        recall, auroc = measure_events(scorer, self.cases)
        incidents = None if self.incidents is None else self.incidents.flagged_by(scorer, self.source)
        return Performance(
            records=len(held_out),
            flagged=int(flagged.sum()),
            tolerance=tolerance,
            found={} if incidents is None else {"incidents": incidents},
            recall=recall,
            auroc=auroc,
        )

    def _segments(self, features: Features) -> Iterator[Segment]:
        held_out = self.parts.held_out
        past = by_entity(self.parts.normal.training, self.monitor, features)
        series = by_entity(held_out, self.monitor, features)
        for name, rows in positions_of(entities_of(held_out, self.monitor.entity)).items():
            before = [past[name]] if name in past else []
            yield Segment(name, rows, concatenate([*before, series[name]]))


def settings_of(config: SeriesConfig, time_zone: str = "UTC", years: Iterable[int] = ()) -> SeriesSettings:
    """Return the settings of a model for a section of the configuration.

    Args:
        config: the section.
        time_zone: of the monitor.
        years: whose holidays of a country are stored with the model.

    Raises:
        ConfigError: If the holidays cannot be read.
    """
    max_gap = None if config.max_gap is None else config.max_gap.total_seconds()
    return SeriesSettings(
        models=config.models,
        max_gap=max_gap,
        smoothing=config.smoothing,
        reference=config.reference,
        fewest=config.fewest,
        select=config.select,
        calendar=config.calendar,
        time_zone=time_zone,
        holidays=read_holidays(config, years),
        network=config.network,
        score=config.score,
        seed=config.seed,
    )


def _cut_settings(settings: SeriesSettings, shortest_cut: float | None) -> SeriesSettings:
    """Return the settings of a training that forgets the past at records that were left out."""
    gaps = [gap for gap in (settings.max_gap, shortest_cut) if gap is not None]
    return replace(settings, max_gap=min(gaps) * (1 - 1e-9) if shortest_cut is not None else settings.max_gap)


def by_entity(records: pd.DataFrame, monitor: MonitorConfig, features: Features) -> dict[str, Series]:
    """Return the series of each entity, in the order of its records."""
    positions = positions_of(entities_of(records, monitor.entity)).items()
    return {name: series_of(records.iloc[rows], str(monitor.time), features) for name, rows in positions}


def _fit_profile(artifact: SeriesArtifact, series: Mapping[str, Series], monitor: MonitorConfig) -> Profile:
    p_values = SeriesScorer(artifact).calibration_p_values()
    return fit_profile(artifact.model, artifact.features, p_values, series, monitor.drift.records)


def _versions(*, with_network: bool) -> dict[str, str]:
    if not with_network:
        return {name: version(name) for name in ("numpy", "pandas", "scipy")}
    return {name: version(name) for name in ("keras", "numpy", "pandas", "scipy")} | {"backend": backend_name()}
