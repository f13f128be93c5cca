"""Work in smaller parts if a device, such as a GPU that others use too, runs out of memory."""

import warnings
from collections.abc import Callable
from typing import TypeVar

from schemas.errors import BackendError

Result = TypeVar("Result")

_NAMES = ("ResourceExhaustedError", "OutOfMemoryError")  # of TensorFlow and of PyTorch
_STATUS = "RESOURCE_EXHAUSTED"  # in the text of JAX, whose error has no type of its own


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of a backend is that its device has too little memory.

    >>> is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4096 bytes."))
    True
    >>> is_out_of_memory(ValueError("shapes differ"))
    False
    """
    return type(error).__name__ in _NAMES or _STATUS in str(error)


def halving(size: int, work: Callable[[int], Result]) -> Result:
    """Return the result of some work in parts of a size, which is halved each time the device runs out of memory.

    Args:
        size: number of records at once.
        work: starts again with each size.

    Raises:
        BackendError: If not even one record fits.
    """
    while True:
        try:
            return work(size)
        except Exception as exc:
            if not is_out_of_memory(exc):
                raise
            if size == 1:
                raise BackendError(
                    "The device has too little memory for a single record. End what else runs on it, or set "
                    "runtime.device in config.toml to 'cpu'."
                ) from exc
        # behind the handler, since the error holds the frames of the failed try, and these its memory
        size //= 2
        warnings.warn(f"The device ran out of memory; starting again with batches of {size}.", stacklevel=2)
