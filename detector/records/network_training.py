"""Training of the networks of records, with early stopping on the held-out ELBO; repeatable by its seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detector.core.device_memory import halving
from detector.core.progress import EPOCH_STEPS, Epoch
from detector.records.architecture import Architecture, latent_size
from detector.records.encoder import Layout, Matrix, squash
from detector.records.keras_network import VAE, initial_weights
from detector.records.numpy_network import NumpyNetwork
from detector.records.posterior import clean_inputs
from schemas.config import ModelConfig
from schemas.errors import ConfigError

VALIDATION_SHARE = 0.1
MAX_VALIDATION_RECORDS = 2000
MIN_ELBO_GAIN = 1e-3  # nats per cell by which the held-out ELBO must exceed its best


@dataclass(frozen=True)
class Trained:
    """Trained networks, with the history of their training."""

    network: NumpyNetwork
    history: tuple[Epoch, ...]
    steps: int


def fit_network(
    matrix: Matrix, layout: Layout, config: ModelConfig, progress: Callable[[Epoch], None] | None = None
) -> Trained:
    """Train the members on a matrix of normal records; the same arguments give the same weights.

    If the device runs out of memory, the training starts again with half of the records at once.

    Raises:
        ConfigError: If the ELBO is no longer finite.
        BackendError: If the device has too little memory for a single record.
    """

    def fit(size: int) -> Trained:
        return _fit(matrix, layout, config.model_copy(update={"batch_size": size}), progress, config.batch_size)

    return halving(config.batch_size, fit)


def _fit(
    matrix: Matrix,
    layout: Layout,
    config: ModelConfig,
    progress: Callable[[Epoch], None] | None,
    planned_size: int,
) -> Trained:
    """Train with the batch size of a configuration; validate on that share of the held-out records at once."""
    rng = np.random.default_rng(config.seed)
    architecture = Architecture(
        config.kind,
        config.likelihood,
        config.members,
        layout.width,
        config.hidden,
        config.latent or latent_size(layout.width),
        learns_variance=config.likelihood == "auto" and bool(layout.is_density.any()),
    )
    held_out, rows = _split(len(matrix), rng)
    network = VAE(architecture, layout, initial_weights(architecture, layout, rng))
    network.prepare_training(config.learning_rate, config.weight_decay, config.steps)
    held_out_inputs = clean_inputs(matrix[held_out], architecture, squashes_target=True)
    inputs = {**held_out_inputs.as_dict(), "beta": np.ones((len(held_out), 1), dtype=np.float32)}
    validation = list(_parts(inputs, -(-len(held_out) * config.batch_size // planned_size)))
    batches = _batches(matrix[rows], architecture, config, rng)
    weights, history = _run(network, batches, validation, config, progress)
    return Trained(NumpyNetwork(architecture, layout, weights), history, int(network.optimizer.iterations))


def _split(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to validate on, and the rows to train on."""
    order = rng.permutation(n)
    size = min(max(1, round(VALIDATION_SHARE * n)), MAX_VALIDATION_RECORDS)
    return order[:size], order[size:] if n > size else order


def _batches(
    matrix: Matrix, architecture: Architecture, config: ModelConfig, rng: np.random.Generator
) -> Iterator[dict[str, np.ndarray]]:
    """Yield a batch for each step, with different records for each member; half of the rows have hidden cells."""
    k, n, d = architecture.members, config.batch_size, architecture.width
    views = [squash(view).astype(np.float32) for view in (matrix.standard, matrix.quantile)]
    missing = matrix.missing.astype(np.float32)
    for step in range(config.steps):
        rows = rng.integers(0, len(matrix), (k, n))
        target = np.stack([views[member % 2][rows[member]] for member in range(k)], axis=1)  # (n, K, d)
        absent = np.stack([missing[rows[member]] for member in range(k)], axis=1)
        rate = rng.random((n, k, 1), dtype=np.float32) * config.mask_rate * (rng.random((n, k, 1)) < 0.5)
        hidden = np.maximum(rng.random((n, k, d), dtype=np.float32) < rate, absent)
        noise = config.noise * rng.standard_normal((n, k, d), dtype=np.float32)
        beta = config.beta * min(1.0, (step + 1) / max(1.0, config.warm_up * config.steps))
        yield {
            "visible": (target + noise) * (1 - hidden),
            "hidden": hidden,
            "target": target,
            "observed": 1 - absent,
            "draw": rng.standard_normal((n, k, architecture.latent), dtype=np.float32),
            "beta": np.full((n, 1), beta, dtype=np.float32),
        }


def _run(
    network: VAE,
    batches: Iterator[dict[str, np.ndarray]],
    validation: Sequence[dict[str, np.ndarray]],
    config: ModelConfig,
    progress: Callable[[Epoch], None] | None,
) -> tuple[dict[str, np.ndarray], tuple[Epoch, ...]]:
    """Train until the held-out ELBO has not grown for `patience` epochs; return the best weights and the history."""
    epochs = -(-config.steps // EPOCH_STEPS)
    history: list[Epoch] = []
    best, best_weights, stale = -np.inf, network.weights_by_name(), 0
    for number in range(1, epochs + 1):
        elbo = _epoch(network, batches, min(EPOCH_STEPS, config.steps - (number - 1) * EPOCH_STEPS))
        held_out_elbo = _held_out(network, validation)
        _check_finite(number, elbo, held_out_elbo, config)
        history.append(Epoch(number, epochs, elbo, held_out_elbo))
        if progress:
            progress(history[-1])
        if held_out_elbo > best + MIN_ELBO_GAIN * network.architecture.width:
            best, best_weights, stale = held_out_elbo, network.weights_by_name(), 0
        else:
            stale += 1
        if stale >= config.patience and number > config.warm_up * epochs:
            break
    return best_weights, tuple(history)


def _check_finite(number: int, elbo: float, held_out_elbo: float, config: ModelConfig) -> None:
    if not np.isfinite([elbo, held_out_elbo]).all():
        raise ConfigError(
            f"Training diverged: the ELBO of epoch {number} is {elbo} on training and "
            f"{held_out_elbo} on held-out records, expected finite numbers. "
            f"Lower `learning_rate` (now {config.learning_rate:g}) or `beta` (now {config.beta:g})."
        )


def _epoch(network: VAE, batches: Iterator[dict[str, np.ndarray]], steps: int) -> float:
    network.reset_metrics()
    logs = {"elbo": np.nan}
    for _ in range(steps):
        logs = network.train_on_batch(next(batches), return_dict=True)
    return float(logs["elbo"])


def _parts(inputs: dict[str, np.ndarray], size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield inputs of at most that many records."""
    for start in range(0, len(inputs["beta"]), size):
        yield {name: array[start : start + size] for name, array in inputs.items()}


def _held_out(network: VAE, validation: Sequence[dict[str, np.ndarray]]) -> float:
    """Return the ELBO of the held-out records, which come in parts."""
    return float(
        np.average([_elbo(network, part) for part in validation], weights=[len(p["beta"]) for p in validation])
    )


def _elbo(network: VAE, inputs: dict[str, np.ndarray]) -> float:
    network.reset_metrics()
    return float(network.test_on_batch(inputs, return_dict=True)["elbo"])
