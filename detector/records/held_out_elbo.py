"""Held-out ELBO in units of the data, so that models with different encoders are comparable.

A model standardises by its own training records, so a density of its cells is in units of its own. A change of
variables returns to the units of the data: each cell with a density costs the logarithm of its unit, less the
logarithm of the slope of `squash`. Only the members of the standard view take part: the steps of the quantile view
depend on single training records, so its densities are not comparable.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from detector.records.encoder import SQUASH_FROM, Encoder, Matrix
from detector.records.numpy_network import NumpyNetwork
from detector.records.posterior import clean_inputs
from detector.records.scorer import RecordScorer


def elbo_difference(one: RecordScorer, other: RecordScorer) -> str | None:
    """Return the reason why the ELBOs of two models are not comparable, or None if they are."""
    if one.artifact.encoder.names != other.artifact.encoder.names:
        return "their features differ"
    columns = zip(one.artifact.encoder.columns, other.artifact.encoder.columns, strict=True)
    differing = [a.name for a, b in columns if a.encoding != b.encoding]
    if differing:
        return f"they encode {', '.join(map(repr, differing))} differently"
    losses = {(scorer.artifact.architecture.kind, scorer.artifact.architecture.likelihood) for scorer in (one, other)}
    return None if losses == {("vae", "auto")} else "not both are autoencoders with a likelihood by type of feature"


def held_out_elbo(scorer: RecordScorer, records: pd.DataFrame) -> float:
    """Return the mean ELBO of n records at the posterior mean, in nats per record and units of the data."""
    artifact = scorer.artifact
    matrix = artifact.encoder.encode(records)
    standard = Matrix(matrix.standard, matrix.standard, matrix.missing, matrix.violations)
    architecture = replace(artifact.architecture, members=(artifact.architecture.members + 1) // 2)
    weights = {name: weight[::2] for name, weight in artifact.weights.items()}
    network = NumpyNetwork(architecture, artifact.encoder.layout, weights)
    posterior = network.posterior(clean_inputs(standard, architecture, squashes_target=True))
    nats = matrix.violations.astype(np.float64) * np.log(artifact.reference.n_train + 2)
    cost = posterior.nll.astype(np.float64).sum(axis=1) + posterior.kl + nats
    return float(-(cost + _change_of_units(artifact.encoder, matrix)).mean())


def _change_of_units(encoder: Encoder, matrix: Matrix) -> np.ndarray:
    """Return the nats (n,) between densities in the network's cells and in units of the data."""
    units = np.array([cell.unit for column in encoder.columns for cell in column.cells])  # (d,)
    squashed = np.log1p(np.maximum(np.abs(matrix.standard.astype(np.float64)) - SQUASH_FROM, 0))  # (n, d)
    has_density = ~matrix.missing & encoder.layout.is_density
    return np.where(has_density, np.log(units) + squashed, 0.0).sum(axis=1)
