"""Trains a monitor's model: normal records in, a champion or a challenger out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from detector.core.comparison import Comparison, Policy, PromotionDecision, decide
from detector.core.drift import Profile
from detector.records.artifact import Artifact, digest, dump_artifact, manifest
from detector.records.card import make_card
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.network_training import Epoch
from jobs.checks import refuse_unfit
from jobs.join_view import join_anomalies
from jobs.reading.source import Source
from jobs.runs import recorded_run
from jobs.store import Asked, NewModel, Store
from jobs.store.models import BY_A_PERSON
from jobs.training.champion_comparison import compare_with, load_rival
from jobs.training.model_card import CardFacts, render_card
from jobs.training.series_training import Trained, train_series
from jobs.training.training_set import Parts, TrainingSet, read_training_set, split_training_set, training_range


@dataclass(frozen=True)
class TrainingOrder:
    """Why a training is made, and what becomes of the model.

    Attributes:
        policy: when it takes the champion's place; a person who trains wants it to.
        asked: the request that it serves, and who is told.
    """

    policy: Policy = "always"
    asked: Asked = BY_A_PERSON


@dataclass(frozen=True)
class TrainingReport:
    """What a training made."""

    monitor: str
    model_id: int
    is_champion: bool
    verdict: str
    """Of the comparison with the champion before it, as in `detector.core.comparison`."""
    reason: str
    card: dict[str, Any]
    join_view: str | None

    @property
    def role(self) -> str:
        """What the model is now, for people."""
        role = "the champion" if self.is_champion else "a challenger"
        return f"Model {self.model_id} is {role} of monitor {self.monitor!r}."


_PROMOTED_UNLESS_DEGENERATE = TrainingOrder()


def train_monitor(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    *,
    order: TrainingOrder = _PROMOTED_UNLESS_DEGENERATE,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainingReport:
    """Train, calibrate, compare and store a model; an interruption at any point stores nothing.

    Raises:
        RecordsError: where the table does not fit the monitor, or its normal records are too few.
        SourceError: where the watched table cannot be read.
        LostRequest: where another worker has taken the request over.
    """
    name, monitor = source.name, source.monitor
    with recorded_run(store, name, "train", clock) as counts:
        refuse_unfit(name, monitor, source)
        if monitor.series is None:
            trained = _train(source, store, clock(), order.policy, progress)
        else:
            trained = train_series(source, store, clock(), order.policy, progress)
        model, decision = trained.model, trained.decision
        if order.policy == "if_better":  # what was compared says nothing about another champion
            model = replace(model, beats=trained.comparison.champion_id)
        model_id = store.models.add(name, model, clock(), promote=decision.is_promoted, asked=order.asked)
        counts |= {"records": trained.records, "model_id": model_id}
    return _report(source, store, model_id)


def _train(
    source: Source, store: Store, at: datetime, policy: Policy, progress: Callable[[Epoch], None] | None
) -> Trained:
    """A model of single records, compared with the champion."""
    feedback, rival = store.feedback.read(source.name), load_rival(store, source)
    found = read_training_set(source, feedback, at)
    parts = split_training_set(found, source.monitor, None if rival is None else rival.unseen(source))
    artifact = _fit(source, found, parts, progress)
    comparison = compare_with(rival, artifact, parts, source, feedback)
    decision = decide(comparison, policy)
    model = _new_model(source.name, artifact, parts, comparison, decision)
    return Trained(model, comparison, decision, len(found.records))


def _fit(source: Source, found: TrainingSet, parts: Parts, progress: Callable[[Epoch], None] | None) -> Artifact:
    monitor = source.monitor
    anomalies = source.read_anomalies(monitor.max_training_records) if monitor.threshold == "f_beta" else None
    artifact = fit_artifact(
        parts.normal,
        monitor.features,
        monitor.model,
        rule=DecisionRule(monitor.first_threshold, monitor.false_positive_rate, monitor.f_beta),
        anomalies=anomalies,
        progress=progress,
    )
    p_values = artifact.calibration.p_values(artifact.calibration.scores)
    profile = Profile.fit(parts.normal.training, monitor.features, p_values, monitor.drift.records)
    about = {"training": training_range(found, monitor), "profile": profile.to_state()}
    return replace(artifact, about=artifact.about | about)


def _new_model(
    monitor: str, artifact: Artifact, parts: Parts, comparison: Comparison, decision: PromotionDecision
) -> NewModel:
    blob, known = dump_artifact(artifact), manifest(artifact)
    best = max(artifact.about["history"], key=lambda epoch: epoch["held_out_elbo"])
    card = {
        "training_records": artifact.reference.n_train,
        "calibration_records": known["calibration_records"],
        "features": len(artifact.encoder.columns),
        "cells": artifact.architecture.width,
        "score": artifact.config.score,
        "epochs": len(artifact.about["history"]),
        "held_out_elbo": best["held_out_elbo"],
        "threshold": artifact.decision.threshold,
        "threshold_method": artifact.decision.method,
        "false_positive_rate": artifact.decision.rate,
        "bytes": len(blob),
        **make_card(artifact, parts.normal).to_json(),
    }
    told = {**comparison.to_json(), "is_promoted": decision.is_promoted, "reason": decision.reason}
    text = render_card(CardFacts(monitor, known, card, told))
    return NewModel(blob, digest(blob), known, card, card_markdown=text, comparison=told)


def _report(source: Source, store: Store, model_id: int) -> TrainingReport:
    stored = store.models.get(model_id)
    is_champion = stored.state == "champion"
    view = join_anomalies(store, source) if is_champion else None
    compared = stored.comparison or {}
    verdict, reason = compared["verdict"], compared["reason"]
    return TrainingReport(source.name, model_id, is_champion, verdict, reason, dict(stored.card), view)
