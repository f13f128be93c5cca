"""Training of temporal variational autoencoders in Keras; the networks of many entities form one batched model.

Notation: K members, one for each network; n records in a batch; d features, padded to the number of the widest member.
All randomness (initial weights, noise, hidden channels, draws from the posterior) comes in as arrays.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, islice
from typing import Any

import numpy as np
from keras import ops

from detector.core.autoencoder import initial_weights, latent_size
from detector.core.device_memory import halving
from detector.core.keras_arrays import KerasArrays, Network, compile_for_training
from detector.core.progress import EPOCH_STEPS, Epoch
from detector.series.network import TemporalNetwork, shapes
from schemas.errors import ConfigError

HIDDEN_UNITS = 64  # of a layer
MAX_LATENT_DIMENSIONS = 24
STEPS = 400  # at most
MIN_STEPS, RECORDS_PER_STEP = 100, 20  # small members take one more step for every 20 records
BATCH_RECORDS, SMALL_BATCH_RECORDS = 128, 64  # records of each member in a step
SMALL_RECORDS = 2_000  # of the largest member that are small
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-3
WARM_UP_SHARE = 0.3  # of the steps, over which the weight of the KL term rises to 1
NOISE = 0.1
MAX_HIDDEN_SHARE = 0.5  # of the channels of a record
MAX_MEMBERS, MAX_WEIGHTS = 512, 4_000_000  # trained at once: bounds the memory
HINT = "encoder/hint/kernel"  # weights for "is hidden" of each feature; not stored, as scoring hides none

Array = np.ndarray


def train(
    features: Sequence[Array],
    channels: Sequence[int],
    seed: int,
    progress: Callable[[Epoch], None] | None = None,
) -> list[dict[str, Array]]:
    """Train a network for each matrix of standardised features (m, d); return their weights by the names of `shapes`.

    Args:
        features: one matrix for each network.
        channels: number of channels of each matrix; its features are the first of each channel, then the second.
        seed: of all randomness.
        progress: called after each epoch of the networks that train at once.

    If the device runs out of memory, networks that train at once start again with half of the records in a step.

    Raises:
        ConfigError: If the ELBO is no longer finite.
        BackendError: If the device has too little memory for a single record of each network.
    """
    rng = np.random.default_rng(seed)
    together = _members_at_once(max(matrix.shape[1] for matrix in features))
    parts = [slice(start, start + together) for start in range(0, len(features), together)]
    planned = [_epochs(_steps(features[part])) for part in parts]

    def report_epoch(first: int, place: int, elbo: float) -> None:
        epoch = Epoch(first + place, sum(planned), elbo)
        _check_finite(epoch)
        if progress:
            progress(epoch)

    return [
        weights
        for part, first in zip(parts, accumulate(planned[:-1], initial=1), strict=True)
        for weights in _train(features[part], channels[part], rng, partial(report_epoch, first))
    ]


def _train(
    features: Sequence[Array],
    channels: Sequence[int],
    rng: np.random.Generator,
    report_epoch: Callable[[int, float], None],
) -> list[dict[str, Array]]:
    widths = [matrix.shape[1] for matrix in features]
    d = max(widths)
    latent = latent_size(d, MAX_LATENT_DIMENSIONS)
    start = rng.bit_generator.state

    def fit(size: int) -> dict[str, Array]:
        rng.bit_generator.state = start
        model = Members(_initial(len(features), d, latent, rng))
        model.prepare(_steps(features))
        batches = _batches(features, channels, latent, size, rng)
        for place in range(_epochs(_steps(features))):
            report_epoch(place, _epoch(model, islice(batches, EPOCH_STEPS)))
        return model.weights_by_name()

    final = halving(BATCH_RECORDS if max(map(len, features)) > SMALL_RECORDS else SMALL_BATCH_RECORDS, fit)
    return [_trimmed(final, member, width) for member, width in enumerate(widths)]


def _members_at_once(d: int) -> int:
    """Return how many networks of d features train at once."""
    weights = sum(
        int(np.prod(shape)) for shape in shapes(d, HIDDEN_UNITS, latent_size(d, MAX_LATENT_DIMENSIONS)).values()
    )
    return max(1, min(MAX_MEMBERS, MAX_WEIGHTS // weights))


def _steps(features: Sequence[Array]) -> int:
    """Return the number of steps for networks that train at once; few records need few."""
    return min(STEPS, MIN_STEPS + max(map(len, features)) // RECORDS_PER_STEP)


def _epochs(steps: int) -> int:
    return -(-steps // EPOCH_STEPS)


def _epoch(model: "Members", batches: Iterable[dict[str, Array]]) -> float:
    """Train on the batches; return the ELBO, in nats per record of a member."""
    model.reset_metrics()
    logs = {"elbo": np.nan}
    for batch in batches:
        logs = model.train_on_batch(batch, return_dict=True)
    return float(logs["elbo"])


def _check_finite(epoch: Epoch) -> None:
    if not np.isfinite(epoch.elbo):
        raise ConfigError(
            f"Training of the networks diverged: their ELBO of epoch {epoch.number} is {epoch.elbo}, expected a finite "
            "number. Set another `seed`, or network = false, in the monitor's section `series` of config.toml."
        )


def _initial(members: int, d: int, latent: int, rng: np.random.Generator) -> dict[str, Array]:
    """Return the weights (K, ...) before training."""
    own = {**shapes(d, HIDDEN_UNITS, latent), HINT: (d, HIDDEN_UNITS)}
    return initial_weights({name: (members, *shape) for name, shape in own.items()}, rng)


def _trimmed(weights: Mapping[str, Array], member: int, width: int) -> dict[str, Array]:
    """Return one member's weights, without the weights of the padding."""
    own = {name: array[member] for name, array in weights.items() if name != HINT}
    for name in ("encoder/input/kernel", "encoder/skip/kernel"):
        own[name] = own[name][:width]
    for name in ("decoder/output/kernel", "decoder/output/bias", "decoder/skip/kernel", "decoder/log_sd"):
        own[name] = own[name][:, :width]
    return {name: np.ascontiguousarray(array) for name, array in own.items()}


def _batches(
    features: Sequence[Array], channels: Sequence[int], latent: int, n: int, rng: np.random.Generator
) -> Iterator[dict[str, Array]]:
    """Yield a batch of n records for each step, with other records for each member; half have hidden channels."""
    k, d = len(features), max(matrix.shape[1] for matrix in features)
    is_real = np.stack([np.arange(d) < matrix.shape[1] for matrix in features])[:, None, :].astype(np.float32)
    channel = np.stack([np.arange(d) % count for count in channels])  # (K, d)
    steps = _steps(features)
    for step in range(steps):
        target = np.zeros((k, n, d), dtype=np.float32)
        for member, matrix in enumerate(features):
            target[member, :, : matrix.shape[1]] = matrix[rng.integers(0, len(matrix), n)]
        rate = MAX_HIDDEN_SHARE * rng.random((k, n, 1)) * (rng.random((k, n, 1)) < 0.5)
        is_hidden = rng.random((k, n, max(channels))) < rate
        hidden = np.take_along_axis(is_hidden, channel[:, None, :], axis=2) * is_real
        noise = NOISE * rng.standard_normal(target.shape, dtype=np.float32)
        yield {
            "visible": (target + noise) * (is_real - hidden),
            "hidden": hidden,
            "target": target,
            "is_real": is_real,
            "draw": rng.standard_normal((k, n, latent), dtype=np.float32),
            "beta": np.full((k, 1), min(1.0, (step + 1) / (WARM_UP_SHARE * steps)), dtype=np.float32),
        }


class Members(Network):
    """K networks as one batched model.

    Args:
        weights: an array (K, ...) for every name in `shapes`, and the hint.
    """

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the reconstruction loss and the divergence of each record, both (K, n), in nats."""
        weights = self.parts_by_name()
        network = TemporalNetwork(KerasArrays(), weights)
        hint = ops.matmul(inputs["hidden"], weights[HINT])  # (K, n, h)
        mean, log_var = network.encode(inputs["visible"], hint)  # (K, n, l)
        z = mean + ops.exp(0.5 * log_var) * inputs["draw"]
        nats = network.nll(inputs["target"], z)  # (K, n, d)
        return {"nll": ops.sum(nats * inputs["is_real"], axis=-1), "kl": network.divergence(mean, log_var)}

    def training_loss(self, inputs: dict[str, Any], posterior: dict[str, Any]) -> Any:
        """Return the negative ELBO with weight beta, over the square root of the width, summed over members."""
        self.elbo_tracker.update_state(-ops.mean(posterior["nll"] + posterior["kl"]))
        loss = ops.mean(posterior["nll"] + inputs["beta"] * posterior["kl"], axis=1)  # (K,)
        return ops.sum(loss / ops.sqrt(ops.sum(inputs["is_real"], axis=(1, 2))))

    def prepare(self, steps: int) -> None:
        """Choose the optimiser for a number of steps.

        Gradients are not clipped: their norm is over all members, so one member would affect the others.
        """
        compile_for_training(self, LEARNING_RATE, WEIGHT_DECAY, steps)
