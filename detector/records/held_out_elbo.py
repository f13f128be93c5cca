"""Held-out ELBO in the units of the data, so that models with encoders of their own compare.

A model standardises by its own training records, so a density in its cells is in units of its own. A change of
variables brings it back to the data's: each Gaussian cell costs the logarithm of its scale, and what `squash` does.
Only the members that see the standard view take part: the quantile view has no density that compares, as its steps
hang on single training records.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from detector.records.encoder import SQUASH_FROM, Encoder, Matrix
from detector.records.feature_types import CategoryColumn, Column, FlagColumn, NumberColumn, TimestampColumn
from detector.records.keras_network import VAE
from detector.records.posterior import clean_inputs
from detector.records.scorer import RecordScorer


def elbo_difference(one: RecordScorer, other: RecordScorer) -> str | None:
    """Why the ELBOs of two models do not compare; None where they do."""
    if one.artifact.encoder.names != other.artifact.encoder.names:
        return "their features differ"
    cells = [[_cells(column) for column in scorer.artifact.encoder.columns] for scorer in (one, other)]
    differing = [name for name, a, b in zip(one.artifact.encoder.names, *cells, strict=True) if a != b]
    if differing:
        return f"they encode {', '.join(map(repr, differing))} differently"
    losses = {(scorer.artifact.architecture.kind, scorer.artifact.architecture.likelihood) for scorer in (one, other)}
    return None if losses == {("vae", "auto")} else "not both are autoencoders with a likelihood by type of feature"


def held_out_elbo(scorer: RecordScorer, records: pd.DataFrame) -> float:
    """Mean over n records, in nats per record and units of the data, decoded at the posterior mean."""
    artifact = scorer.artifact
    matrix = artifact.encoder.encode(records)
    standard = Matrix(matrix.standard, matrix.standard, matrix.missing, matrix.violations)
    architecture = replace(artifact.architecture, members=(artifact.architecture.members + 1) // 2)
    weights = {name: weight[::2] for name, weight in artifact.weights.items()}
    network = VAE(architecture, artifact.encoder.layout, weights)
    network.compile()
    posterior = network.posterior(clean_inputs(standard, architecture, is_training=True))
    nats = matrix.violations.astype(np.float64) * np.log(artifact.reference.n_train + 2)
    cost = posterior.nll.astype(np.float64).sum(axis=1) + posterior.kl + nats
    return float(-(cost + _change_of_units(artifact.encoder, matrix)).mean())


def _change_of_units(encoder: Encoder, matrix: Matrix) -> np.ndarray:
    """(n,) nats from the network's cells to the units of the data."""
    layout = encoder.layout
    log_scales = np.log(np.concatenate([_scales(column) for column in encoder.columns]))  # (d,)
    squashed = np.log1p(np.maximum(np.abs(matrix.standard.astype(np.float64)) - SQUASH_FROM, 0))  # (n, d)
    counts = ~matrix.missing & (layout.kinds == "gaussian")
    return np.where(counts, log_scales + squashed, 0.0).sum(axis=1)


def _scales(column: Column) -> np.ndarray:
    """(w,) units of the data in a unit of each cell; 1 where the cell stands for a probability."""
    scales = np.ones(len(column.kinds))
    if isinstance(column, NumberColumn):
        scales[0] = column.scale
    elif isinstance(column, TimestampColumn):
        scales[:4] = column.scales
    return scales


def _cells(column: Column) -> tuple[Any, ...]:
    """What has to be the same for two encodings of a feature to compare."""
    if isinstance(column, CategoryColumn):
        return column.tag, frozenset(column.levels)
    if isinstance(column, FlagColumn):
        return column.tag, column.kinds, column.low, column.high
    return column.tag, column.kinds, getattr(column, "value", None)
