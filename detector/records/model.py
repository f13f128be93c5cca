"""Model: anomaly scores, causes, latents and reconstructions of records by a trained model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from detector.core.arithmetic import CHOICE
from detector.core.subsample import subsample_evenly
from detector.core.threads import in_threads
from detector.core.vae_scores import Scored, VaeScores
from detector.records.attribution import Attribution, attribute, feature_nll
from detector.records.contrast import ContrastForest
from detector.records.contrast_causes import noticed_nats
from detector.records.coordinates import input_coordinates, joint_coordinates, squashed_cells
from detector.records.encoder import Encoder, Matrix, unsquash
from detector.records.label_head import LabelHead
from detector.records.numpy_network import NumpyNetwork
from detector.records.posterior import Posterior, clean_inputs
from detector.records.reference import NeighbourReference, ReferenceSearch
from detector.records.scores import SCORES, Evidence
from schemas.config import ModelConfig
from schemas.errors import RecordsError
from schemas.frames import VAE_COLUMNS, Cause, Explanation

Records = TypeVar("Records", pd.DataFrame, np.ndarray)
CONTRAST_DRAWS = 1  # the stream of random numbers of the forests, apart from that of the networks
CHUNK_RECORDS = 4096  # at most, that a thread encodes and scores at once: bounds the memory


class Model:
    """A trained model of single records; immutable.

    Args:
        config: the hyper-parameters.
        encoder: the state of preprocessing.
        network: the trained networks.
        reference: training records in the model's coordinates.
        typical_nll: (f,) nats that each feature costs on a typical normal record.
        head: raises the configured score by labels.
    """

    def __init__(
        self,
        config: ModelConfig,
        encoder: Encoder,
        network: NumpyNetwork,
        reference: NeighbourReference,
        typical_nll: np.ndarray,
        *,
        head: LabelHead | None = None,
    ) -> None:
        self.config, self.encoder, self.network = config, encoder, network
        self.reference, self.typical_nll = reference, typical_nll
        self.head = head
        self._feature_cells = encoder.layout.feature_cells(len(encoder.columns))
        self._search = ReferenceSearch(reference, config.neighbours, config.kind)

    @classmethod
    def from_training(cls, config: ModelConfig, encoder: Encoder, network: NumpyNetwork, matrix: Matrix) -> "Model":
        """Return the model of trained networks; its reference is a subsample of the training records."""
        rows = subsample_evenly(len(matrix), config.max_reference)
        reference_matrix = matrix[rows]
        inputs = clean_inputs(reference_matrix, network.architecture)
        posterior = network.posterior(inputs)
        latent_sd = np.exp(0.5 * posterior.z_log_var).mean(axis=0)
        if config.kind == "autoencoder":  # without a posterior, the spread of the latents is their unit
            latent_sd = posterior.z_mean.std(axis=0)
        reference = NeighbourReference(
            joint_coordinates(reference_matrix, posterior, latent_sd),
            latent_sd,
            len(matrix),
            input_coordinates(reference_matrix, len(latent_sd)),
            has_joint_elbo=True,
            contrasts=_contrasts(config, reference_matrix),
            compresses=True,
        )
        cells = encoder.layout.feature_cells(len(encoder.columns))
        typical = np.median(feature_nll(posterior, cells), axis=0).astype(np.float32)
        return cls(config, encoder, network, reference, typical)

    def with_calibrating(self, records: pd.DataFrame) -> "Model":
        """Return the model with calibration records among the reference records, as far as there is room."""
        room = max(0, self.config.max_reference - len(self.reference.points))
        matrix = self.encoder.encode(records.iloc[subsample_evenly(len(records), room)])
        rebuilt = self.network.reconstruct(clean_inputs(matrix, self.network.architecture))
        latent_sd = self.reference.latent_sd
        reference = self.reference.with_calibrating(
            joint_coordinates(matrix, rebuilt, latent_sd), input_coordinates(matrix, len(latent_sd))
        )
        return Model(self.config, self.encoder, self.network, reference, self.typical_nll)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The scores that the model can compute: all of them, unless an earlier version trained it."""
        return tuple(name for name in SCORES if name != "ensemble" or self.reference.inputs is not None)

    @property
    def stored_reference(self) -> NeighbourReference:
        """The reference with what its searches have computed, which a process that scores need not compute again."""
        if self.config.score != "ensemble":
            return self.reference
        return replace(self.reference, states=tuple(space.state for space in self._search.spaces))

    def anomaly_scores(
        self, records: pd.DataFrame, names: Sequence[str] | None = None, threads: int = 1
    ) -> dict[str, np.ndarray]:
        """Return the scores (n,) float64 by name, higher is more anomalous; the same bits for any number of threads.

        Args:
            records: n records.
            names: of the scores; all that the model can compute if None.
            threads: number of threads that score.
        """
        return self._anomaly_scores(records, names or self.score_names, np.full(len(records), -1), threads)

    def anomaly_score(self, records: pd.DataFrame, threads: int = 1) -> np.ndarray:
        """Return the configured score, (n,) float64."""
        return self.anomaly_scores(records, (self.config.score,), threads)[self.config.score]

    def scored(
        self, records: pd.DataFrame, needs_vae: Callable[[np.ndarray], np.ndarray] | None = None, threads: int = 1
    ) -> Scored:
        """Return the configured score of n records with their VAE scores, from one pass of the networks.

        Args:
            records: to score.
            needs_vae: takes scores (m,) and returns which of the records need VAE scores, (m,) bool; the networks run
                once more for these, and the others have NaN. That costs less than a pass with likelihoods for all, if
                few records need them. None if all do.
            threads: number of threads.
        """
        CHOICE.expect(len(records) * self.network.work_per_record)
        for name in (self.config.score, *VAE_COLUMNS):
            SCORES[name].prepare(self._search)
        parts = in_threads(lambda chunk: self._chunk_scored(chunk, needs_vae), list(_chunks(records, threads)), threads)
        return Scored.concatenate(parts)

    def training_score(self, records: pd.DataFrame, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the configured score of training records, each measured against the others, (m,) float64.

        Args:
            records: all n training records.
            rows: (m,) positions of the records to score; all if None.
        """
        in_reference = subsample_evenly(len(records), self.config.max_reference)
        own = np.full(len(records), -1)
        own[in_reference] = np.arange(len(in_reference))
        if rows is not None:
            records, own = records.iloc[rows], own[rows]
        return self._anomaly_scores(records, (self.config.score,), own, threads=1)[self.config.score]

    def attribution(self, records: pd.DataFrame, scores: np.ndarray) -> Attribution:
        """Attribute scores (n,) to features."""
        matrix, violations = self.encoder.encode_with_violations(records)
        surprise = violations * np.log(self.reference.n_train + 2)

        def excess_of(rows: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            posterior = self._posterior(matrix[rows], hidden @ self._feature_cells.T)
            nats = feature_nll(posterior, self._feature_cells) - self.typical_nll
            return nats + surprise[rows], posterior.expected[:, 0].copy()

        noticed = noticed_nats(self.reference.contrasts, squashed_cells(matrix), self._feature_cells)
        return attribute(matrix, scores, self._feature_cells, excess_of, noticed)

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """Return the `top` causes of each of n scores, largest first."""
        explanations: list[Explanation] = []
        for start, chunk in zip(range(0, len(records), CHUNK_RECORDS), _chunks(records), strict=False):
            explanations += self._explain_chunk(chunk, scores[start : start + CHUNK_RECORDS], top)
        return explanations

    def residuals(self, records: pd.DataFrame) -> np.ndarray:
        """Return the residuals of both views among the joint coordinates of n records, (n, V * d) float32."""
        chunks = [self.encoder.encode(chunk) for chunk in _chunks(records)]
        evidences = [self._evidence(chunk, np.full(len(chunk), -1), with_likelihood=False) for chunk in chunks]
        return np.concatenate([evidence.residuals for evidence in evidences])

    def encode(self, records: pd.DataFrame) -> np.ndarray:
        """Return the posterior means of the first member, a map of the records, (n, l) float32."""
        parts = [self._posterior(self.encoder.encode(chunk)).z_mean[:, 0] for chunk in _chunks(records)]
        return np.concatenate(parts)

    def reconstruct(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the records as the model reconstructs them, in their own units; missing values are imputed."""
        parts = [self._posterior(self.encoder.encode(chunk)).expected[:, 0] for chunk in _chunks(records)]
        return self._values(np.concatenate(parts)).set_index(records.index)

    def sample(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Generate n synthetic normal records: draws from the prior, decoded, with the spread of the residuals.

        The learned variance would be too wide for noise: it also covers what hidden cells leave open.
        """
        spread = self.reference.residuals(self.encoder.layout.width).std(axis=0)
        return self._values(self.network.generate(n, spread, rng))

    def _values(self, cells: np.ndarray) -> pd.DataFrame:
        is_density = self.encoder.layout.is_density
        return pd.DataFrame(self.encoder.decode(np.where(is_density, unsquash(cells), cells)))

    def _anomaly_scores(
        self, records: pd.DataFrame, names: Sequence[str], own: np.ndarray, threads: int
    ) -> dict[str, np.ndarray]:
        CHOICE.expect(len(records) * self.network.work_per_record)
        chunks = list(zip(_chunks(records, threads), _chunks(own, threads), strict=True))
        for name in names:  # before the threads, which would build the same search twice
            SCORES[name].prepare(self._search)
        parts = in_threads(lambda chunk: self._chunk_scores(chunk[0], names, chunk[1]), chunks, threads)
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _chunk_scores(self, records: pd.DataFrame, names: Sequence[str], own: np.ndarray) -> dict[str, np.ndarray]:
        evidence = self._evidence(self.encoder.encode(records), own, with_likelihood="elbo" in names)
        return {name: self._measure(name, evidence) for name in names}

    def _chunk_scored(self, records: pd.DataFrame, needs_vae: Callable[[np.ndarray], np.ndarray] | None) -> Scored:
        matrix, own = self.encoder.encode(records), np.full(len(records), -1)
        evidence = self._evidence(matrix, own, with_likelihood=needs_vae is None)
        scores = self._measure(self.config.score, evidence)
        if needs_vae is None:
            return Scored(scores, self._vae_scores(evidence, scores))
        vae, rows = VaeScores.missing(len(records)), np.flatnonzero(needs_vae(scores))
        if len(rows):
            part = self._evidence(matrix[rows], own[rows], with_likelihood=True)
            vae.put(rows, self._vae_scores(part, scores[rows]))
        return Scored(scores, vae)

    def _measure(self, name: str, evidence: Evidence) -> np.ndarray:
        """Return a score (n,) by name; labels raise the configured one."""
        scores = SCORES[name].measure(evidence)
        if self.head is None or name != self.config.score:
            return scores
        return scores * self.head.factors(evidence.residuals)

    def _vae_scores(self, evidence: Evidence, scores: np.ndarray) -> VaeScores:
        """Return the VAE scores of n records with the configured scores (n,), which may be one of the two."""
        by_name = {self.config.score: scores}
        return VaeScores(
            *(by_name[name] if name in by_name else SCORES[name].measure(evidence) for name in VAE_COLUMNS)
        )

    def _evidence(self, matrix: Matrix, own: np.ndarray, *, with_likelihood: bool) -> Evidence:
        """Return the data of records; the networks run once, with their likelihoods if a score will need them."""
        squashes = self.reference.has_joint_elbo
        inputs = clean_inputs(matrix, self.network.architecture, squashes_target=squashes)
        infer = cache(lambda: self.network.posterior(inputs))
        reconstruct = infer if with_likelihood else lambda: self.network.reconstruct(inputs)
        return Evidence(self._search, matrix, own, reconstruct, infer)

    def _posterior(self, matrix: Matrix, hidden: np.ndarray | None = None) -> Posterior:
        return self.network.posterior(clean_inputs(matrix, self.network.architecture, hidden))

    def _explain_chunk(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        attribution = self.attribution(records, scores)
        expected = self._values(attribution.expected)
        order = np.argsort(-attribution.share, axis=1, kind="stable")[:, :top]
        explanations = []
        for row, features in enumerate(order):
            values = _Values(records.iloc[row], expected.iloc[row], attribution.share[row], attribution.deviation[row])
            explanations.append(Explanation(tuple(values.cause(int(f), self.encoder.names[f]) for f in features)))
        return explanations


@dataclass(frozen=True)
class _Values:
    """The values of one record and the expected values, with shares and deviations (f,)."""

    record: "pd.Series[Any]"
    expected: "pd.Series[Any]"
    share: np.ndarray
    deviation: np.ndarray

    def cause(self, feature: int, name: str) -> Cause:
        """Return the part of the score due to one feature."""
        return Cause(
            feature=name,
            share=float(self.share[feature]),
            deviation=float(self.deviation[feature]),
            value=_plain(self.record[name]),
            expected=_plain(self.expected[name]),
        )


def _contrasts(config: ModelConfig, matrix: Matrix) -> tuple[ContrastForest, ...]:
    """Return the forests that separate the reference records from copies with noise, if the score has them."""
    if config.score != "ensemble":
        return ()
    from detector.records.contrast_fitting import fit_contrasts

    return fit_contrasts(squashed_cells(matrix), matrix.missing, np.random.default_rng([config.seed, CONTRAST_DRAWS]))


def _chunks(records: Records, threads: int = 1) -> Iterator[Records]:
    if not len(records):
        raise RecordsError("There are no records to score: the frame is empty. Pass at least one record.")
    size = chunk_size(len(records), threads)
    for start in range(0, len(records), size):
        yield records[start : start + size]


def chunk_size(records: int, threads: int) -> int:
    """Return the number of records in a chunk, so that each thread has as many chunks of equal size.

    >>> chunk_size(20_000, 1), chunk_size(20_000, 2), chunk_size(256, 2)
    (4096, 3334, 4096)
    """
    chunks = -(-records // CHUNK_RECORDS)
    if threads == 1 or chunks == 1:
        return CHUNK_RECORDS
    return -(-records // (-(-chunks // threads) * threads))


def _plain(value: Any) -> Any:
    """Convert a value for JSON, which has no numbers for null and infinity."""
    if isinstance(value, date):
        return None if value is pd.NaT else value.isoformat()
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value
