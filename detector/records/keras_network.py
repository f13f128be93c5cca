"""The variational autoencoder and its loss: K small networks side by side, in Keras ops only.

Notation: n records in a batch, K members, d cells, h hidden units, l latent dimensions. All
randomness (initial weights, noise, masks, draws from the posterior) comes in as arrays, so a training
step is a pure function of its inputs on every Keras backend.

Sources: Kingma & Welling, *Auto-Encoding Variational Bayes* (2014), for the objective; Rybkin et al.,
*Simple and Effective VAE Training with Calibrated Decoders* (2021), for the learned variance; Ivanov et
al., *Variational Autoencoder with Arbitrary Conditioning* (2019), for hiding cells in training.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from detector.records.architecture import Architecture
from detector.records.encoder import SQUASH_FROM, Layout
from detector.records.posterior import Inputs, Posterior

SD_FLOOR = 0.05  # of a Gaussian cell: a perfectly predicted cell must not own the whole score
LOG_VAR_RANGE = (-8.0, 4.0)
LOGIT_LIMIT = 20.0
CLIP_NORM = 5.0
BLOCK = 1024  # records in one call of the compiled scoring function


def initial_weights(architecture: Architecture, layout: Layout, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights before training: Glorot-normal kernels, zero biases, the base rate as the bias of flags."""
    weights = {}
    for name, shape in architecture.shapes().items():
        is_kernel = name.endswith("kernel")
        spread = np.sqrt(2.0 / (shape[1] + shape[2])) if is_kernel else 0.0
        weights[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
    if architecture.likelihood == "auto":
        shares = np.clip(layout.means, 1e-3, 1 - 1e-3)
        base = np.select(
            [layout.kinds == "binary", layout.kinds == "category"], [np.log(shares / (1 - shares)), np.log(shares)], 0.0
        )
        weights["decoder/output/bias"] += base.astype(np.float32)
    return weights


class VAE(keras.Model):  # type: ignore[misc]
    """K networks as one batched model.

    Args:
        architecture: shapes and likelihood.
        layout: what each cell is.
        weights: an array for every name in `architecture.shapes()`.
    """

    def __init__(self, architecture: Architecture, layout: Layout, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.architecture = architecture
        self._likelihood = _Likelihood(architecture.likelihood, layout)
        self._w = {
            name: self.add_weight(
                name=name.replace("/", "_"), shape=shape, initializer=keras.initializers.Constant(0.0), dtype="float32"
            )
            for name, shape in architecture.shapes().items()
        }
        for name, variable in self._w.items():
            variable.assign(weights[name])
        self.elbo_tracker = keras.metrics.Mean(name="elbo")
        self.built = True

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Encode, draw, decode and measure: the fields of `Posterior` for `Inputs`."""
        visible, hidden, target, observed, draw = (
            self._for_members(inputs[name]) for name in ("visible", "hidden", "target", "observed", "draw")
        )  # (K, n, d), and (K, n, l) for the draw
        z_mean, z_log_var = self._encode(visible, hidden)  # (K, n, l)
        z = z_mean + ops.exp(0.5 * z_log_var) * draw if self._is_vae else z_mean
        expected, nll = self._likelihood(self._decode(z), target, self._log_sd(hidden))  # (K, n, d)
        kl = 0.5 * ops.sum(ops.square(z_mean) + ops.exp(z_log_var) - z_log_var - 1.0, axis=-1)  # (K, n)
        views = [ops.mean(expected[view::2], axis=0) for view in range(min(2, self.architecture.members))]
        return {
            "z_mean": ops.transpose(z_mean, (1, 0, 2)),
            "z_log_var": ops.transpose(z_log_var, (1, 0, 2)),
            "expected": ops.stack(views, axis=1),  # (n, V, d)
            "nll": ops.mean(nll * observed, axis=0),  # (n, d)
            "kl": ops.mean(kl, axis=0) if self._is_vae else ops.zeros_like(kl[0]),  # (n,)
        }

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,  # noqa: ARG002
        y_pred: Any = None,
        sample_weight: Any = None,  # noqa: ARG002
        training: bool = True,  # noqa: ARG002, FBT001, FBT002
    ) -> Any:
        """Negative ELBO with the KL term weighted by beta, over the square root of the width."""
        nll = ops.sum(y_pred["nll"], axis=-1)  # (n,)
        self.elbo_tracker.update_state(-ops.mean(nll + y_pred["kl"]))
        loss = ops.mean(nll + ops.mean(x["beta"]) * y_pred["kl"])
        return loss / float(np.sqrt(self.architecture.width))

    def prepare_training(self, learning_rate: float, weight_decay: float, steps: int) -> None:
        """Choose the optimiser: AdamW, its rate on a cosine schedule over the steps."""
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
        optimiser = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, global_clipnorm=CLIP_NORM)
        optimiser.build(self.trainable_variables)  # made in the first step, they would have it traced twice
        self.compile(optimizer=optimiser, jit_compile=keras.backend.backend() == "jax")  # XLA slows TensorFlow's steps

    def posterior(self, inputs: Inputs) -> Posterior:
        """What the network says of n records, computed in blocks of one fixed shape."""
        blocks = [self._block(inputs, start) for start in range(0, len(inputs), BLOCK)]
        return Posterior(**{name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]})

    def generate(self, n: int, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n, d) standardised cells of synthetic records: draws from the prior, decoded, with noise of (d,) sd."""
        k, z = self.architecture.members, self.architecture.latent
        output = self._decode(rng.standard_normal((k, n, z)).astype(np.float32))  # (K, n, d)
        expected, _ = self._likelihood(output, 0.0 * output, 0.0)
        member = 2 * rng.integers(0, (k + 1) // 2, n)  # the standard view's
        return self._likelihood.draw(ops.convert_to_numpy(expected)[member, np.arange(n)], sd, rng)

    def weights_by_name(self) -> dict[str, np.ndarray]:
        """Every weight as an array."""
        return {name: ops.convert_to_numpy(variable) for name, variable in self._w.items()}

    def assign_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set every weight."""
        for name, variable in self._w.items():
            variable.assign(weights[name])

    @property
    def _is_vae(self) -> bool:
        return self.architecture.kind == "vae"

    def _for_members(self, x: Any) -> Any:
        """(n, 1 or V or K, d) to (K, n, d): member k has the view k modulo V."""
        repeats = -(-self.architecture.members // x.shape[1])
        return ops.tile(ops.transpose(x, (1, 0, 2)), (repeats, 1, 1))[: self.architecture.members]

    def _encode(self, visible: Any, hidden: Any) -> tuple[Any, Any]:
        h = self._dense("encoder/input", ops.concatenate([visible, hidden], axis=-1), activation=ops.silu)  # (K, n, h)
        h = h + self._dense("encoder/hidden", h, activation=ops.silu)
        z_mean = self._dense("encoder/mean", h) + ops.matmul(visible, self._w["encoder/mean_skip/kernel"])
        if not self._is_vae:
            return z_mean, ops.zeros_like(z_mean)
        return z_mean, ops.clip(self._dense("encoder/log_var", h), *LOG_VAR_RANGE)

    def _decode(self, z: Any) -> Any:
        h = self._dense("decoder/input", z, activation=ops.silu)
        h = h + self._dense("decoder/hidden", h, activation=ops.silu)
        return self._dense("decoder/output", h) + ops.matmul(z, self._w["decoder/output_skip/kernel"])

    def _dense(self, name: str, x: Any, activation: Callable[[Any], Any] | None = None) -> Any:
        y = ops.matmul(x, self._w[f"{name}/kernel"]) + self._w[f"{name}/bias"]
        return activation(y) if activation else y

    def _log_sd(self, hidden: Any) -> Any:
        """(K, n, d): one learned value for cells that were visible, one for hidden ones."""
        if "decoder/log_sd" not in self._w:
            return 0.0
        log_sd = ops.logaddexp(self._w["decoder/log_sd"], float(np.log(SD_FLOOR)))  # (K, 2, d)
        return log_sd[:, :1] + hidden * (log_sd[:, 1:] - log_sd[:, :1])

    def _block(self, inputs: Inputs, start: int) -> dict[str, np.ndarray]:
        rows = {name: array[start : start + BLOCK] for name, array in inputs.as_dict().items()}
        n = len(rows["visible"])
        padded = {name: np.pad(array, ((0, BLOCK - n), (0, 0), (0, 0))) for name, array in rows.items()}
        beta = np.ones((BLOCK, 1), dtype=np.float32)
        return {name: array[:n] for name, array in self.predict_on_batch({**padded, "beta": beta}).items()}


class _Likelihood:
    """Negative log-likelihood of each cell by its kind, and the value the network expects."""

    def __init__(self, likelihood: str, layout: Layout) -> None:
        forced = {"mse": "gaussian", "bce": "bce"}.get(likelihood)
        kinds = layout.kinds if forced is None else np.full(layout.width, forced, dtype=object)
        self._is = {kind: (kinds == kind).astype(np.float32) for kind in dict.fromkeys(kinds)}
        self._groups = layout.groups() if "category" in self._is else None
        self._layout, self._shares, self._scales = layout, layout.means, layout.scales

    def __call__(self, output: Any, target: Any, log_sd: Any) -> tuple[Any, Any]:
        """Expected standardised cells and their NLL in nats, both (K, n, d), for decoder outputs (K, n, d)."""
        expected, nll = 0.0, 0.0
        for kind, cells in self._is.items():
            value, cost = getattr(self, f"_{kind}")(output, target, log_sd)
            expected, nll = expected + cells * value, nll + cells * cost
        return expected, nll

    def draw(self, expected: np.ndarray, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n, d): cells drawn around their expectation; a category is drawn as a whole."""
        layout = self._layout
        noisy = expected + sd * rng.standard_normal(expected.shape)
        share = expected * layout.scales + layout.means
        is_set = rng.random(expected.shape) < share
        groups = layout.groups()
        gumbel = np.log(np.maximum(share, 1e-9)) + rng.gumbel(size=share.shape)
        for group in groups.T > 0:
            is_set[:, group] = gumbel[:, group] == gumbel[:, group].max(axis=1, keepdims=True)
        return np.where(layout.kinds == "gaussian", noisy, (is_set - layout.means) / layout.scales)

    def _gaussian(self, output: Any, target: Any, log_sd: Any) -> tuple[Any, Any]:
        error = (target - output) * ops.exp(-log_sd)
        return output, 0.5 * ops.square(error) + log_sd + 0.5 * float(np.log(2 * np.pi))

    def _binary(self, output: Any, target: Any, _log_sd: Any) -> tuple[Any, Any]:
        logit = ops.clip(output, -LOGIT_LIMIT, LOGIT_LIMIT)
        is_set = target * self._scales + self._shares  # 0 or 1
        expected = (ops.sigmoid(logit) - self._shares) / self._scales
        return expected, ops.softplus(logit) - is_set * logit

    def _category(self, output: Any, target: Any, _log_sd: Any) -> tuple[Any, Any]:
        logit = ops.clip(output, -LOGIT_LIMIT, LOGIT_LIMIT)
        totals = ops.matmul(ops.exp(logit), self._groups)  # (K, n, g)
        log_p = logit - ops.matmul(ops.log(totals + 1e-30), ops.transpose(self._groups))
        one_hot = target * self._scales + self._shares
        expected = (ops.exp(ops.minimum(log_p, 0.0)) - self._shares) / self._scales
        return expected, -one_hot * log_p

    def _bce(self, output: Any, target: Any, _log_sd: Any) -> tuple[Any, Any]:
        logit = ops.clip(output, -LOGIT_LIMIT, LOGIT_LIMIT)
        level = ops.clip((target + SQUASH_FROM) / (2 * SQUASH_FROM), 0.0, 1.0)  # -4..4 to 0..1
        return 2 * SQUASH_FROM * ops.sigmoid(logit) - SQUASH_FROM, ops.softplus(logit) - level * logit
