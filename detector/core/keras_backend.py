"""The Keras backend and device, which must be chosen before anything imports Keras."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from schemas.errors import BackendError

Backend = Literal["tensorflow", "jax", "torch"]
Device = Literal["auto", "cpu", "gpu"]


def choose_backend(backend: Backend, device: Device) -> None:
    """Load Keras on a backend and a device, for the lifetime of this process.

    Raises:
        BackendError: If the backend is not installed, or there is no such device.
    """
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    try:
        with _quiet_libraries():
            import keras
    except ModuleNotFoundError as exc:
        raise BackendError(
            f"The backend {backend!r} needs the package {exc.name!r}, which is not installed. "
            f"Install it (pip install {backend}), or set runtime.backend in config.toml to one that is."
        ) from exc
    if keras.backend.backend() != backend:
        raise BackendError(
            f"Keras already runs on {keras.backend.backend()!r} in this process, so it cannot run on {backend!r}. "
            "Start a new process for it."
        )
    if device == "gpu" and not has_gpu():
        raise BackendError(
            f"{backend} finds no GPU, and runtime.device is 'gpu'. "
            "Check the driver and the backend's GPU build, or set runtime.device in config.toml to 'auto' or 'cpu'."
        )


def backend_name() -> str:
    """Return the backend that Keras runs on."""
    import keras

    return str(keras.backend.backend())


def has_gpu() -> bool:
    """Return whether the backend that Keras runs on finds a GPU."""
    import keras

    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # raised by JAX if there is none
        return False


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Silence compiled libraries, which bypass `sys.stderr`: TensorFlow starts every process with six lines."""
    if sys.stderr is None:
        yield
        return
    saved_stderr = os.dup(2)
    with Path(os.devnull).open("w") as null_device:
        os.dup2(null_device.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)
