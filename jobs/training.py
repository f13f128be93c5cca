"""Trains a monitor's model: normal records in, a champion or challenger out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd

from detector.artifact import Artifact, digest, dump_artifact, manifest
from detector.calibration import check_rate
from detector.card import make_card
from detector.fitting import (
    MIN_TRAINING_RECORDS,
    DecisionRule,
    NormalRecords,
    calibration_size,
    fit_artifact,
    split_records,
)
from detector.training import Epoch
from jobs.checks import refuse_unfit
from jobs.recording import recorded_run
from jobs.source import Source, keys_of
from jobs.store import NewModel, Store
from schemas.config import MonitorConfig
from schemas.errors import NotEnoughRecords
from schemas.keys import dump_key, key_label


@dataclass(frozen=True)
class TrainingReport:
    """What a training made."""

    monitor: str
    model_id: int
    is_champion: bool
    card: dict[str, Any]
    join_view: str | None


def train_monitor(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    *,
    promote: bool = True,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainingReport:
    """Train, calibrate and store a model; an interruption at any point stores nothing.

    Raises:
        RecordsError: where the table does not fit the monitor, or its normal records are too few.
        SourceError: where the watched table cannot be read.
    """
    monitor = source.monitor
    with recorded_run(store, source.name, "train", clock) as counts:
        refuse_unfit(source.name, monitor, source)
        records = source.read_normal(monitor.max_training_records)
        normal = split_normal(records, monitor)
        anomalies = source.read_anomalies(monitor.max_training_records) if monitor.threshold == "f_beta" else None
        artifact = fit_artifact(
            normal,
            monitor.features,
            monitor.model,
            rule=DecisionRule(monitor.threshold, monitor.false_positive_rate, monitor.f_beta),
            anomalies=anomalies,
            progress=progress,
        )
        artifact = replace(artifact, about={**artifact.about, "training": _training_range(records, monitor)})
        model, card = _new_model(artifact, normal)
        model_id = store.add_model(source.name, model, clock(), promote=promote)
        counts |= {"records": len(records), "model_id": model_id}
    view = store.create_join_view(source.name, source) if promote else None
    return TrainingReport(source.name, model_id, promote, card, view)


def split_normal(records: pd.DataFrame, monitor: MonitorConfig) -> NormalRecords:
    """Normal records to train on and to calibrate with: the latest block in time, or a random draw.

    Raises:
        RecordsError: where they are too few to train on, or for the false-positive rate.
    """
    rate = monitor.false_positive_rate if monitor.threshold == "conformal" else None
    size = calibration_size(len(records), rate)
    if len(records) - size < MIN_TRAINING_RECORDS:
        raise NotEnoughRecords(len(records), 2 * MIN_TRAINING_RECORDS, "to train on and to calibrate with")
    if rate is not None:
        check_rate(rate, size)
    if monitor.is_calibrated_by_time and monitor.time is not None:
        records = records.sort_values(monitor.time, kind="stable", na_position="first")
    training, calibration = split_records(len(records), size, monitor.model.seed, latest=monitor.is_calibrated_by_time)
    return NormalRecords(records.iloc[training], records.iloc[calibration])


def _training_range(records: pd.DataFrame, monitor: MonitorConfig) -> dict[str, Any]:
    """What the model was made from: how many records, from which key to which, from when to when."""
    first, last = keys_of(records.iloc[[0, -1]], monitor.key)
    times = records[monitor.time].dropna() if monitor.time else pd.Series(dtype="object")
    return {
        "records": len(records),
        "first_key": key_label(first),
        "last_key": key_label(last),
        "upto_key": dump_key(last),
        "first_time": times.min().isoformat() if len(times) else None,
        "last_time": times.max().isoformat() if len(times) else None,
    }


def _new_model(artifact: Artifact, normal: NormalRecords) -> tuple[NewModel, dict[str, Any]]:
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
        **make_card(artifact, normal).to_json(),
    }
    return NewModel(blob=blob, sha256=digest(blob), manifest=known, card=card), card
