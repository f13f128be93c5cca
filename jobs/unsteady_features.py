"""Sentences on features that move with time or key, so that new records are unlike the training records."""

import numpy as np
import pandas as pd

from detector.core.steadiness import Movement, movements
from detector.records.feature_types import drift_bins
from detector.series.segments import entities_of
from jobs.reading.typed_columns import time_order
from jobs.wording import percent
from schemas.config import MonitorConfig

_REASONS: dict[Movement, str] = {
    "constant": "has one value in all normal records, so that any other value is an anomaly",
    "rising": "rises with {order}, so that new records lie beyond all training records",
    "falling": "falls with {order}, so that new records lie beyond all training records",
    "unique": "is different in nearly every record, like a number or a name of the record, so that it tells nothing",
    "newest_differ": "has other values in the newest fifth of the normal records than before",
}
_CONSEQUENCES: dict[Movement, str] = {
    "rising": " Many more than {rate} of normal records may be flagged.",
    "falling": " Many more than {rate} of normal records may be flagged.",
    "newest_differ": " The share of flagged records may be far from {rate}.",
}
_ADVICE: dict[Movement, str] = {
    "constant": "Leave it out of the features, unless a change of it matters.",
    "rising": "Leave it out of the features, or watch its change from record to record in a query instead.",
    "falling": "Leave it out of the features, or watch its change from record to record in a query instead.",
    "unique": "Leave it out of the features.",
    "newest_differ": "Leave it out of the features, or restrict `normal` to records of the present kind.",
}


def unsteady_features(records: pd.DataFrame, monitor: MonitorConfig) -> dict[str, str]:
    """Return a warning with advice for each feature that moves with time or key, is constant or nearly unique.

    Args:
        records: normal records in key order.
        monitor: of the records.
    """
    order = "the key" if monitor.time is None else f"the time {monitor.time!r}"
    records = records.iloc[time_order(records, monitor)]
    features = monitor.features
    has_entity = monitor.entity is not None
    entities = entities_of(records, monitor.entity) if has_entity else np.zeros(len(records), dtype=np.int64)
    moving = movements(records, drift_bins(features), frozenset(features.categorical), entities)
    rate = percent(monitor.false_positive_rate)
    return {
        name: f"Feature {name!r} {_REASONS[how].format(order=order)}."
        f"{_CONSEQUENCES.get(how, '').format(rate=rate)} {_ADVICE[how]}"
        for name, how in moving.items()
        if how not in {"rising", "falling"} or name not in features.timestamp
    }
