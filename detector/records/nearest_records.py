"""The normal records that a record is nearest to, among the reference records of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from detector.records.coordinates import joint_coordinates
from detector.records.encoder import unsquash
from detector.records.model import Model
from detector.records.posterior import clean_inputs


@dataclass(frozen=True)
class NearestRecord:
    """A reference record of a model.

    Attributes:
        distance: to the record in question, in the joint coordinates of the model.
        values: of the features, as the model holds them: rounded, and with a typical value if one is missing.
    """

    distance: float
    values: Mapping[str, Any]


def nearest_records(model: Model, record: pd.DataFrame, limit: int) -> list[NearestRecord]:
    """Return the reference records that are nearest to one record, the nearest first.

    Return none if the model was made by a version that did not keep their inputs.
    """
    reference = model.reference
    if reference.inputs is None:
        return []
    distances = np.linalg.norm(reference.points.astype(np.float64) - joint_points(model, record), axis=1)
    nearest = np.argsort(distances, kind="stable")[:limit]
    values = model.encoder.decode(_standard_cells(model, reference.inputs[nearest]))
    return [
        NearestRecord(float(distances[position]), {name: column[row] for name, column in values.items()})
        for row, position in enumerate(nearest)
    ]


def joint_points(model: Model, records: pd.DataFrame) -> np.ndarray:
    """Return the joint coordinates of n records, (n, D) float32, in which distances to reference records are taken."""
    matrix = model.encoder.encode(records)
    rebuilt = model.network.reconstruct(clean_inputs(matrix, model.network.architecture))
    return joint_coordinates(matrix, rebuilt, model.reference.latent_sd)


def _standard_cells(model: Model, inputs: np.ndarray) -> np.ndarray:
    """Return the standardised cells (n, d) behind the inputs of reference records."""
    width = model.encoder.layout.width
    views = inputs.shape[1] // width
    return unsquash(inputs[:, :width] * np.float32(np.sqrt(views)))
