"""Trains a monitor's model of series: each entity's normal records in order of time in, a model with its card out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from detector.core.comparison import Comparison, Policy, PromotionDecision, decide
from detector.core.keras_backend import backend_name
from detector.records.artifact import digest
from detector.records.held_out import Performance
from detector.series.artifact import SeriesArtifact, dump_series, manifest
from detector.series.card import SeriesCard, make_card
from detector.series.drift import fit_profile
from detector.series.entity_model import EntityModel
from detector.series.model import SeriesModel
from detector.series.scorer import SeriesScorer
from detector.series.segments import Segment, entities_of, joined, positions_of, series_of
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from jobs.reading.source import Source, keys_of
from jobs.scoring.run import load_series_scorer
from jobs.scoring.thresholds import new_trackers
from jobs.store import NewModel, Store
from jobs.training.model_card import CardFacts, render_card
from jobs.training.training_set import TrainingSet, held_out_size, read_training_set, training_range
from schemas.config import MonitorConfig
from schemas.errors import ArtifactError, NotEnoughRecords, RecordsError
from schemas.frames import IS_ANOMALY, Features
from schemas.keys import load_key
from schemas.series import SeriesConfig

if TYPE_CHECKING:
    from detector.records.network_training import Epoch

TOLERANCE = 2  # times the rate asked for, and as much below it: records of a series resemble their neighbours


@dataclass(frozen=True)
class Trained:
    """What a training made, before it is stored.

    Attributes:
        model: the artifact and what is known about it.
        comparison: with the champion.
        decision: what becomes of the model.
        records: how many it was made from.
    """

    model: NewModel
    comparison: Comparison
    decision: PromotionDecision
    records: int


def train_series(
    source: Source,
    store: Store,
    at: datetime,
    policy: Policy,
    progress: Callable[["Epoch"], None] | None = None,
) -> Trained:
    """Train, calibrate and compare a model; the same records give the same one. Nothing is stored.

    Args:
        source: the watched table.
        store: the service's own database.
        at: the time now.
        policy: when the model takes the champion's place.
        progress: called after each epoch of networks, where the monitor asks for these.

    Raises:
        NotEnoughRecords: where a model would have fewer than 50 records.
        SourceError: where the watched table cannot be read.
    """
    monitor = source.monitor
    found = _placed(read_training_set(source, store.feedback.read(source.name), at), monitor)
    rival = _load_rival(store, source)
    rest, held_out = _parted(found.records, monitor, is_first=rival is None)
    artifact = _fit(found, rest, monitor, progress)
    scorer = SeriesScorer(artifact)
    comparison = _compare(scorer, rival, rest, held_out, monitor)
    decision = decide(comparison, policy)
    beside = make_card(artifact.model, _by_entity(rest, monitor, artifact.features), artifact.rate)
    model = _new_model(source, scorer, beside, comparison, decision)
    return Trained(model, comparison, decision, len(found.records))


def settings_of(config: SeriesConfig) -> SeriesSettings:
    """The settings that a section of the configuration stands for."""
    max_gap = None if config.max_gap is None else config.max_gap.total_seconds()
    return SeriesSettings(
        models=config.models,
        max_gap=max_gap,
        smoothing=config.smoothing,
        reference=config.reference,
        fewest=config.fewest,
        select=config.select,
        network=config.network,
        seed=config.seed,
    )


@dataclass(frozen=True)
class _Rival:
    """The champion that a new model is compared with, or why it cannot be."""

    model_id: int
    scorer: SeriesScorer | None
    problem: str | None = None


def _placed(found: TrainingSet, monitor: MonitorConfig) -> TrainingSet:
    """The records that have a place in a series."""
    records = found.records
    has_time = records[monitor.time].notna().to_numpy()
    has_entity = entities_of(records, monitor.entity) != ""
    counts = {"without a time": int((~has_time).sum()), "without an entity": int((has_time & ~has_entity).sum())}
    left_out = {**found.left_out, **{reason: count for reason, count in counts.items() if count}}
    placed = records[has_time & has_entity]
    if placed.empty:
        raise NotEnoughRecords(0, 1, "with a time and an entity to train on")
    return TrainingSet(placed, left_out)


def _load_rival(store: Store, source: Source) -> _Rival | None:
    champion = store.models.champion(source.name)
    if champion is None:
        return None
    try:
        return _Rival(champion.model_id, load_series_scorer(store, champion, source.monitor))
    except ArtifactError as exc:
        return _Rival(champion.model_id, None, str(exc))


def _parted(records: pd.DataFrame, monitor: MonitorConfig, *, is_first: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records to train on, and the newest ones to compare with the champion on; each in order of keys."""
    size = 0 if is_first else held_out_size(len(records), monitor.false_positive_rate)
    newest = np.argsort(records[monitor.time].to_numpy(), kind="stable")[len(records) - size :]
    is_held_out = np.zeros(len(records), dtype=bool)
    is_held_out[newest] = True
    return records[~is_held_out], records[is_held_out]


def _by_entity(records: pd.DataFrame, monitor: MonitorConfig, features: Features) -> dict[str, Series]:
    """The series of each entity, as its records came."""
    entities = entities_of(records, monitor.entity)
    positions = positions_of(entities).items()
    return {name: series_of(records.iloc[rows], str(monitor.time), features) for name, rows in positions}


def _fit(
    found: TrainingSet, rest: pd.DataFrame, monitor: MonitorConfig, progress: Callable[["Epoch"], None] | None
) -> SeriesArtifact:
    series = _by_entity(rest, monitor, monitor.features)
    settings, history = settings_of(monitor.series or SeriesConfig()), []

    def tell(epoch: "Epoch") -> None:
        history.append(vars(epoch))
        if progress:
            progress(epoch)

    model = SeriesModel.fit(series, settings, tell)
    records = {name: len(one) for name, one in series.items()}
    artifact = SeriesArtifact(monitor.features, model, monitor.false_positive_rate, records, {})
    profile = fit_profile(SeriesScorer(artifact), series, monitor.drift.records)
    about = {
        "training": training_range(found, monitor),
        "grid": monitor.grid,
        "versions": _versions(with_network=settings.network),
        "history": history,
        "profile": profile.to_state(),
    }
    return replace(artifact, about=about)


def _versions(*, with_network: bool) -> dict[str, str]:
    if not with_network:
        return {name: version(name) for name in ("numpy", "pandas", "scipy")}
    return {name: version(name) for name in ("keras", "numpy", "pandas", "scipy")} | {"backend": backend_name()}


def _compare(
    scorer: SeriesScorer, rival: _Rival | None, rest: pd.DataFrame, held_out: pd.DataFrame, monitor: MonitorConfig
) -> Comparison:
    """Try a new model, and the champion where there is one, on the newest normal records."""
    challenger = _perform(scorer, rest, held_out, monitor)
    champion, problem = None, None if rival is None else rival.problem
    if rival is not None and rival.scorer is not None:
        try:
            champion = _perform(rival.scorer, rest, held_out, monitor)
        except RecordsError as exc:  # the monitor has other features or entities now
            problem = str(exc)
    seen = _seen(rival.scorer, held_out, monitor) if rival is not None and rival.scorer is not None else 0
    notes = {
        f"The champion cannot score these records: {problem}": problem,
        f"The champion was made from {seen:,} of the held-out records, which flatters it.": seen and champion,
    }
    return Comparison(
        challenger=challenger,
        champion=champion,
        champion_id=None if rival is None else rival.model_id,
        rate=scorer.rate,
        cells=len(scorer.artifact.features.names),
        records=len(held_out),
        seen_by_champion=seen,
        notes=tuple(note for note, applies in notes.items() if applies),
    )


def _perform(scorer: SeriesScorer, rest: pd.DataFrame, held_out: pd.DataFrame, monitor: MonitorConfig) -> Performance:
    """How many held-out records a model flags, each with its past."""
    if held_out.empty:
        return Performance()
    segments = list(_stretches(rest, held_out, monitor, scorer.artifact.features))
    flagged = scorer.score(held_out, segments, new_trackers(scorer, monitor))[IS_ANOMALY]
    usual = scorer.rate * len(held_out)
    tolerance = (int(usual / TOLERANCE), int(np.ceil(usual * TOLERANCE)))
    return Performance(records=len(held_out), flagged=int(flagged.sum()), tolerance=tolerance)


def _stretches(
    rest: pd.DataFrame, held_out: pd.DataFrame, monitor: MonitorConfig, features: Features
) -> Iterator[Segment]:
    past = _by_entity(rest, monitor, features)
    entities = entities_of(held_out, monitor.entity)
    series = _by_entity(held_out, monitor, features)
    for name, rows in positions_of(entities).items():
        before = [past[name]] if name in past else []
        yield Segment(name, rows, joined([*before, series[name]]))


def _seen(champion: SeriesScorer, held_out: pd.DataFrame, monitor: MonitorConfig) -> int:
    """How many of the held-out records the champion was made from."""
    upto = load_key(champion.artifact.about["training"]["upto_key"])
    with suppress(TypeError):  # the key is of another type now: nothing is known to be of the old one
        return sum(key <= upto for key in keys_of(held_out, monitor.key))
    return 0


def _new_model(
    source: Source, scorer: SeriesScorer, beside: SeriesCard, comparison: Comparison, decision: PromotionDecision
) -> NewModel:
    blob, known = dump_series(scorer.artifact), manifest(scorer.artifact)
    by_entity = {name: _entity_card(name, scorer) for name in scorer.artifact.entities}
    card = {
        "kind": "series",
        "training_records": sum(scorer.artifact.entities.values()),
        "calibration_records": sum(len(model.reference) for model in _used_models(scorer)),
        "features": len(scorer.artifact.features.names),
        "entities": len(by_entity),
        "own_models": len(scorer.model.entities),
        "context_rows": scorer.model.context_rows,
        "only_ranked": sum(entity["threshold"] is None for entity in by_entity.values()),
        "score": "series",
        "held_out_elbo": None,
        "threshold": None,
        "threshold_method": source.monitor.threshold,
        "false_positive_rate": scorer.rate,
        "bytes": len(blob),
        "by_entity": by_entity,
        "beside_baselines": beside.to_json(),
    }
    told = {**comparison.to_json(), "is_promoted": decision.is_promoted, "reason": decision.reason}
    text = render_card(CardFacts(source.name, known, card, told))
    return NewModel(blob, digest(blob), known, card, card_markdown=text, comparison=told)


def _used_models(scorer: SeriesScorer) -> Iterator[EntityModel]:
    """The models that score the entities that were trained on."""
    yield from scorer.model.entities.values()
    if scorer.model.shared is not None and len(scorer.model.entities) < len(scorer.artifact.entities):
        yield scorer.model.shared


def _entity_card(name: str, scorer: SeriesScorer) -> Mapping[str, Any]:
    """What is known about an entity; it has no threshold where its calibration records are too few for the rate."""
    entity_threshold = scorer.entity_threshold(name)
    return {
        "records": scorer.artifact.entities[name],
        "model": "its own" if scorer.model.has_own(name) else "shared",
        "calibration_records": len(entity_threshold.calibration.scores),
        "is_pooled": entity_threshold.is_pooled,
        "threshold": None if entity_threshold.only_ranks else entity_threshold.threshold,
        "view_weights": scorer.model.view_weights(name),
    }
