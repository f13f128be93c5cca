"""Encoder, networks and reference together: what a record's anomaly scores, causes and latents are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from detector.core.subsample import evenly_spread
from detector.core.threads import in_threads
from detector.records.attribution import Attribution, attribute, feature_nll
from detector.records.encoder import Encoder, Matrix, unsquash
from detector.records.keras_network import VAE
from detector.records.numpy_network import NumpyNetwork
from detector.records.posterior import Posterior, clean_inputs
from detector.records.scores import AnomalyScores, NeighbourReference, joint_coordinates
from schemas.config import ModelConfig
from schemas.errors import RecordsError
from schemas.frames import Cause, Explanation

SCORES = ("combined", "local_reconstruction", "joint_knn", "latent_knn", "elbo", "reconstruction_error")
Records = TypeVar("Records", pd.DataFrame, np.ndarray)
CHUNK = 4096  # records that a thread encodes and scores at once: bounds the memory beside the records themselves


class Model:
    """A trained model; nothing in it ever changes.

    Args:
        config: the hyper-parameters.
        encoder: the state of preprocessing.
        network: the trained networks.
        reference: training records in the model's coordinates.
        typical_nll: (f,) nats that each feature costs on a typical normal record.
    """

    def __init__(
        self,
        config: ModelConfig,
        encoder: Encoder,
        network: VAE,
        reference: NeighbourReference,
        typical_nll: np.ndarray,
    ) -> None:
        self.config, self.encoder, self.network = config, encoder, network
        self.reference, self.typical_nll = reference, typical_nll
        self._feature_cells = encoder.layout.feature_cells(len(encoder.columns))
        self._scores = AnomalyScores(reference, config.neighbours, config.kind)
        self._forward = NumpyNetwork(network.architecture, encoder.layout, network.weights_by_name())

    @classmethod
    def from_training(cls, config: ModelConfig, encoder: Encoder, network: VAE, matrix: Matrix) -> "Model":
        """The model of freshly trained networks; its reference are the records they were trained on."""
        rows = evenly_spread(len(matrix), config.max_reference)
        seen = matrix[rows]
        inputs = clean_inputs(seen, network.architecture)
        posterior = network.posterior(inputs)
        rebuilt = NumpyNetwork(network.architecture, encoder.layout, network.weights_by_name())(inputs)  # as in scoring
        latent_sd = np.exp(0.5 * posterior.z_log_var).mean(axis=0)
        if config.kind == "autoencoder":  # without a posterior, the spread of the latents is their unit
            latent_sd = posterior.z_mean.std(axis=0)
        reference = NeighbourReference(joint_coordinates(seen, rebuilt, latent_sd), latent_sd, len(matrix))
        cells = encoder.layout.feature_cells(len(encoder.columns))
        typical = np.median(feature_nll(posterior, cells), axis=0).astype(np.float32)
        return cls(config, encoder, network, reference, typical)

    def anomaly_scores(
        self, records: pd.DataFrame, names: Sequence[str] = SCORES, threads: int = 1
    ) -> dict[str, np.ndarray]:
        """(n,) float64 for each score asked for, higher is more anomalous; the same however many threads work."""
        return self._anomaly_scores(records, names, np.full(len(records), -1), threads)

    def anomaly_score(self, records: pd.DataFrame, threads: int = 1) -> np.ndarray:
        """(n,) float64: the configured score."""
        return self.anomaly_scores(records, (self.config.score,), threads)[self.config.score]

    def training_score(self, records: pd.DataFrame) -> np.ndarray:
        """(n,) float64: the configured score of the training records, each measured against the others."""
        in_reference = evenly_spread(len(records), self.config.max_reference)
        own = np.full(len(records), -1)
        own[in_reference] = np.arange(len(in_reference))
        return self._anomaly_scores(records, (self.config.score,), own, threads=1)[self.config.score]

    def attribution(self, records: pd.DataFrame, scores: np.ndarray) -> Attribution:
        """The shares of scores (n,) by feature, and the expected cells."""
        matrix, violations = self.encoder.encode_with_violations(records)
        surprise = violations * np.log(self.reference.n_train + 2)

        def excess_of(rows: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            posterior = self._posterior(matrix[rows], hidden @ self._feature_cells.T)
            nats = feature_nll(posterior, self._feature_cells) - self.typical_nll
            return nats + surprise[rows], posterior.expected[:, 0].copy()

        return attribute(matrix, scores, self._feature_cells, excess_of)

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """The `top` causes of each of n scores, largest first."""
        explained: list[Explanation] = []
        for start, chunk in zip(range(0, len(records), CHUNK), _chunks(records), strict=False):
            explained += self._explain_chunk(chunk, scores[start : start + CHUNK], top)
        return explained

    def encode(self, records: pd.DataFrame) -> np.ndarray:
        """(n, l) float32: posterior means of the first member, a map of the records."""
        parts = [self._posterior(self.encoder.encode(chunk)).z_mean[:, 0] for chunk in _chunks(records)]
        return np.concatenate(parts)

    def reconstruct(self, records: pd.DataFrame) -> pd.DataFrame:
        """The records as the model rebuilds them, in their own units; missing values are imputed."""
        parts = [self._posterior(self.encoder.encode(chunk)).expected[:, 0] for chunk in _chunks(records)]
        return self._values(np.concatenate(parts)).set_index(records.index)

    def sample(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Synthetic normal records (n rows): draws from the prior, decoded, with the spread of the residuals.

        The learned variance would be too wide for noise: it also covers what hidden cells leave open.
        """
        spread = self.reference.residuals(self.encoder.layout.width).std(axis=0)
        return self._values(self.network.generate(n, spread, rng))

    def _values(self, cells: np.ndarray) -> pd.DataFrame:
        is_number = self.encoder.layout.kinds == "gaussian"
        return pd.DataFrame(self.encoder.decode(np.where(is_number, unsquash(cells), cells)))

    def _anomaly_scores(
        self, records: pd.DataFrame, names: Sequence[str], own: np.ndarray, threads: int
    ) -> dict[str, np.ndarray]:
        chunks = list(zip(_chunks(records), _chunks(own), strict=True))
        self._scores.prepare(names)
        parts = in_threads(lambda chunk: self._chunk_scores(chunk[0], names, chunk[1]), chunks, threads)
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _chunk_scores(self, records: pd.DataFrame, names: Sequence[str], own: np.ndarray) -> dict[str, np.ndarray]:
        matrix = self.encoder.encode(records)
        inputs = clean_inputs(matrix, self.network.architecture)
        found = {}
        if others := [name for name in names if name != "elbo"]:  # which needs what only the whole networks say
            rebuilt = self._forward(inputs)
            found = {name: self._scores.score(name, matrix, rebuilt, own) for name in others}
        if "elbo" in names:
            found["elbo"] = self._scores.elbo(matrix, self.network.posterior(inputs), own)
        return found

    def _posterior(self, matrix: Matrix, hidden: np.ndarray | None = None) -> Posterior:
        return self.network.posterior(clean_inputs(matrix, self.network.architecture, hidden))

    def _explain_chunk(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        attribution = self.attribution(records, scores)
        expected = self._values(attribution.expected)
        order = np.argsort(-attribution.share, axis=1, kind="stable")[:, :top]
        explained = []
        for row, features in enumerate(order):
            values = _Values(records.iloc[row], expected.iloc[row], attribution.share[row], attribution.deviation[row])
            explained.append(Explanation(tuple(values.cause(int(f), self.encoder.names[f]) for f in features)))
        return explained


@dataclass(frozen=True)
class _Values:
    """One record beside what was expected, with its shares and deviations (f,)."""

    record: "pd.Series[Any]"
    expected: "pd.Series[Any]"
    share: np.ndarray
    deviation: np.ndarray

    def cause(self, feature: int, name: str) -> Cause:
        """The part of the score due to one feature."""
        return Cause(
            feature=name,
            share=float(self.share[feature]),
            deviation=float(self.deviation[feature]),
            value=_plain(self.record[name]),
            expected=_plain(self.expected[name]),
        )


def _chunks(records: Records) -> Iterator[Records]:
    if not len(records):
        raise RecordsError("There are no records to score: the frame is empty. Pass at least one record.")
    for start in range(0, len(records), CHUNK):
        yield records[start : start + CHUNK]


def _plain(value: Any) -> Any:
    """A value as JSON holds it; null and infinity have no number there."""
    if isinstance(value, date):
        return None if value is pd.NaT else value.isoformat()
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value
