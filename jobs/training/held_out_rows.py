"""Normal records that a model did not learn from: those that calibrate it, and those that it was compared on.

The store keeps their places among the records that the training read, since the records themselves stay in the table.
If nothing newer is in the table, forecasts and evaluations use them.
"""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from detector.series.fitting import HELD_BACK_SHARE
from detector.series.segments import entities_of
from jobs.reading.source import Source, keys_of
from jobs.training.training_set import Parts, TrainingSet
from schemas.config import MonitorConfig
from schemas.keys import key_label


def describe_held_out(normal: TrainingSet, parts: Parts, monitor: MonitorConfig) -> dict[str, Any] | None:
    """Return the places of the held-out records as JSON values; None if the records have no known places."""
    records, places = normal.records, normal.places
    if places is None or len(places) != len(records):
        return None
    keys = keys_of(records, monitor.key)
    held_out = set(keys_of(parts.held_out, monitor.key)) | set(keys_of(parts.normal.calibration, monitor.key))
    is_held_out = np.array([key in held_out for key in keys], dtype=bool)
    if monitor.series is not None:
        training = set(keys_of(parts.normal.training, monitor.key))
        is_held_out |= _newest_of_entities(records, monitor, np.array([key in training for key in keys], dtype=bool))
    rows = np.flatnonzero(is_held_out)
    if not len(rows):
        return None
    bits = np.packbits(np.isin(np.arange(places[-1] + 1), places[rows]))
    return {
        "first": key_label(keys[rows[0]]),
        "last": key_label(keys[rows[-1]]),
        "places": base64.b64encode(zlib.compress(bits.tobytes())).decode("ascii"),
    }


def held_out_places(held_out: Mapping[str, Any], records: pd.DataFrame, key: tuple[str, ...]) -> np.ndarray | None:
    """Return the places of held-out records among the normal records of a table; None if the table has changed.

    Args:
        held_out: as `describe_held_out` returned it.
        records: the normal records, as a training reads them.
        key: the key columns.
    """
    bits = np.frombuffer(zlib.decompress(base64.b64decode(held_out["places"])), dtype=np.uint8)
    places = np.flatnonzero(np.unpackbits(bits))
    if places[-1] >= len(records):
        return None
    ends = [key_label(end) for end in keys_of(records.iloc[places[[0, -1]]], key)]
    return places if ends == [held_out["first"], held_out["last"]] else None


def read_held_out(source: Source, held_out: Mapping[str, Any] | None, *, with_label: bool = False) -> pd.DataFrame:
    """Return the held-out records of a model, in key order; none if the table has changed since its training."""
    records = source.read_normal(source.monitor.max_training_records, with_label=with_label, left_out=[])
    places = None if held_out is None or records.empty else held_out_places(held_out, records, source.monitor.key)
    return records.iloc[:0] if places is None else records.iloc[places]


def _newest_of_entities(records: pd.DataFrame, monitor: MonitorConfig, is_training: np.ndarray) -> np.ndarray:
    """Return (n,) bool: the newest training records of each entity, which calibrate its model."""
    training = np.flatnonzero(is_training)
    order = training[np.argsort(records[monitor.time].to_numpy()[training], kind="stable")]
    newest = np.zeros(len(records), dtype=bool)
    for _, positions in pd.Series(order).groupby(entities_of(records, monitor.entity)[order]):
        newest[positions.to_numpy()[len(positions) - int(HELD_BACK_SHARE * len(positions)) :]] = True
    return newest
