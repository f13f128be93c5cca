"""The array functions of the networks in Keras ops, and the base class and optimiser of all trained networks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops


class KerasArrays:
    """Keras ops as `core.arrays.Arrays`."""

    matmul = staticmethod(ops.matmul)
    silu = staticmethod(ops.silu)
    exp = staticmethod(ops.exp)
    log = staticmethod(ops.log)
    sigmoid = staticmethod(ops.sigmoid)
    softplus = staticmethod(ops.softplus)
    logaddexp = staticmethod(ops.logaddexp)
    square = staticmethod(ops.square)
    minimum = staticmethod(ops.minimum)
    clip = staticmethod(ops.clip)
    sum = staticmethod(ops.sum)
    mean = staticmethod(ops.mean)
    concatenate = staticmethod(ops.concatenate)
    stack = staticmethod(ops.stack)
    transpose = staticmethod(ops.transpose)
    zeros_like = staticmethod(ops.zeros_like)

    @staticmethod
    def layer(x: Any, kernel: Any, bias: Any) -> Any:
        """Implement `Arrays.layer`."""
        return ops.matmul(x, kernel) + bias

    @staticmethod
    def silu_layer(x: Any, kernel: Any, bias: Any) -> Any:
        """Implement `Arrays.silu_layer`."""
        return ops.silu(ops.matmul(x, kernel) + bias)


class Network(keras.Model):  # type: ignore[misc]
    """A Keras model whose weights are arrays by name, all of them parts of one variable.

    The optimiser has a dozen operations for each variable; for a single one they are traced and run once.

    Args:
        weights: an array for every name.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._shapes_by_name = {name: array.shape for name, array in weights.items()}
        flat = np.concatenate([array.ravel() for array in weights.values()])
        self._flat = self.add_weight(name="weights", shape=flat.shape, initializer="zeros", dtype="float32")
        self._flat.assign(flat)
        self.elbo_tracker = keras.metrics.Mean(name="elbo")
        self.built = True

    def training_loss(self, inputs: dict[str, Any], posterior: dict[str, Any]) -> Any:
        """Return the loss of a batch of inputs, of which `call` returned the posterior."""
        raise NotImplementedError

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,  # noqa: ARG002
        y_pred: Any = None,
        sample_weight: Any = None,  # noqa: ARG002
        training: bool = True,  # noqa: ARG002, FBT001, FBT002
    ) -> Any:
        """Return the training loss, which every Keras backend differentiates."""
        return self.training_loss(x, y_pred)

    def parts_by_name(self) -> dict[str, Any]:
        """Return every weight as a tensor, to compute with in one call."""
        sizes = [int(np.prod(shape)) for shape in self._shapes_by_name.values()]
        parts = ops.split(self._flat, np.cumsum(sizes)[:-1].tolist())
        return {
            name: ops.reshape(part, shape)
            for (name, shape), part in zip(self._shapes_by_name.items(), parts, strict=True)
        }

    def weights_by_name(self) -> dict[str, np.ndarray]:
        """Return every weight as an array."""
        return {name: np.array(ops.convert_to_numpy(part)) for name, part in self.parts_by_name().items()}


def compile_for_training(
    model: keras.Model, learning_rate: float, weight_decay: float, steps: int, clip_norm: float | None = None
) -> None:
    """Compile a model with AdamW, whose rate falls along a cosine over the steps."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
    optimiser = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, global_clipnorm=clip_norm)
    optimiser.build(model.trainable_variables)  # before the first step, which would otherwise be traced twice
    model.compile(optimizer=optimiser, jit_compile=keras.backend.backend() == "jax")  # XLA slows TensorFlow's steps
