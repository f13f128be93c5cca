"""The array functions that the networks are written in, and their NumPy implementation with fixed rounding.

`core.keras_arrays` implements the same interface with Keras ops. The networks are written once, against the interface.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from detector.core import arithmetic


class Arrays(Protocol):
    """An array library. All arrays are float32; `axis` counts as in NumPy."""

    def matmul(self, x: Any, y: Any, /) -> Any:
        """Return the matrix product (..., n, m) of x (..., n, D) and y (..., D, m) or (D, m)."""

    def layer(self, x: Any, kernel: Any, bias: Any, /) -> Any:
        """Return x (..., n, D) times the kernel (..., D, m) plus the bias (..., 1, m): (..., n, m)."""

    def silu_layer(self, x: Any, kernel: Any, bias: Any, /) -> Any:
        """Return the silu of `layer`, (..., n, m)."""

    def silu(self, x: Any, /) -> Any:
        """Return x times its sigmoid."""

    def sigmoid(self, x: Any, /) -> Any:
        """Return 1 / (1 + exp(-x))."""

    def softplus(self, x: Any, /) -> Any:
        """Return log(1 + exp(x))."""

    def exp(self, x: Any, /) -> Any:
        """Return the exponential."""

    def log(self, x: Any, /) -> Any:
        """Return the natural logarithm."""

    def logaddexp(self, x: Any, y: Any, /) -> Any:
        """Return log(exp(x) + exp(y))."""

    def square(self, x: Any, /) -> Any:
        """Return the square."""

    def minimum(self, x: Any, y: Any, /) -> Any:
        """Return the smaller of two numbers."""

    def clip(self, x: Any, low: float, high: float, /) -> Any:
        """Limit numbers to a range."""

    def sum(self, x: Any, axis: int) -> Any:
        """Return the sum over an axis."""

    def mean(self, x: Any, axis: int) -> Any:
        """Return the mean over an axis."""

    def concatenate(self, xs: Sequence[Any], axis: int) -> Any:
        """Join arrays along an axis."""

    def stack(self, xs: Sequence[Any], axis: int) -> Any:
        """Join arrays along a new axis."""

    def transpose(self, x: Any, axes: tuple[int, ...]) -> Any:
        """Reorder the axes."""

    def zeros_like(self, x: Any, /) -> Any:
        """Return zeros of the same shape."""


class NumpyArrays:
    """NumPy with the functions of `core.arithmetic`: every number depends on its own record alone, to the bit."""

    silu = staticmethod(arithmetic.silu)
    sigmoid = staticmethod(arithmetic.sigmoid)
    softplus = staticmethod(arithmetic.softplus)
    exp = staticmethod(arithmetic.exp)
    log = staticmethod(arithmetic.log)
    square = staticmethod(np.square)
    minimum = staticmethod(np.minimum)
    clip = staticmethod(np.clip)
    concatenate = staticmethod(np.concatenate)
    stack = staticmethod(np.stack)
    transpose = staticmethod(np.transpose)
    zeros_like = staticmethod(np.zeros_like)

    @staticmethod
    def matmul(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Implement `Arrays.matmul`."""
        if y.ndim < x.ndim:
            return arithmetic.products(x.reshape(-1, x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[-1])
        return arithmetic.products(x, y)

    @staticmethod
    def layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Implement `Arrays.layer`."""
        return arithmetic.layer(x, kernel, bias)

    @staticmethod
    def silu_layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Implement `Arrays.silu_layer`."""
        return arithmetic.silu_layer(x, kernel, bias)

    @staticmethod
    def logaddexp(x: np.ndarray, y: float) -> np.ndarray:
        """Implement `Arrays.logaddexp`."""
        largest = np.maximum(x, np.float32(y))
        return largest + arithmetic.log(arithmetic.exp(x - largest) + arithmetic.exp(np.float32(y) - largest))

    @staticmethod
    def sum(x: np.ndarray, axis: int) -> np.ndarray:
        """Implement `Arrays.sum` in ascending order: NumPy's own order depends on the shape."""
        parts = np.moveaxis(x, axis, 0)
        total = np.array(parts[0])
        for part in parts[1:]:
            total += part
        return total

    def mean(self, x: np.ndarray, axis: int) -> np.ndarray:
        """Implement `Arrays.mean` in the order of `sum`."""
        return self.sum(x, axis) / np.float32(x.shape[axis])
