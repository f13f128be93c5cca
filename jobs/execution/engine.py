"""Engines: executors by their name in the configuration."""

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module

from schemas.config import RuntimeConfig
from schemas.errors import ConfigError

LOSSES: tuple[type[Exception], ...] = (CancelledError, BrokenExecutor, OSError)
"""Errors by which any executor reports that tasks are lost: their processes ended, or cannot be reached."""


@dataclass(frozen=True)
class Engine:
    """An engine that runs tasks.

    Attributes:
        name: as the configuration names it.
        open: opens the executor, and opens it again after a loss.
        losses: the errors by which it reports that tasks are lost.
    """

    name: str
    open: Callable[[], AbstractContextManager[Executor]]
    losses: tuple[type[Exception], ...] = LOSSES


def engine_of(runtime: RuntimeConfig) -> Engine | None:
    """Return the configured engine; None if commands compute in their own process.

    Raises:
        ConfigError: If the engine is not installed, its address is missing, or its factory cannot be imported.
    """
    if runtime.executor == "local":
        return None
    if runtime.executor == "dask":
        from jobs.execution.dask_engine import dask_engine

        return dask_engine(runtime.scheduler)
    return Engine(runtime.executor, _factory(runtime.executor))


def _factory(name: str) -> Callable[[], Executor]:
    """Return the function that a configuration names as `package.module:function`."""
    module, _, function = name.partition(":")
    try:
        factory: Callable[[], Executor] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as exc:
        msg = (
            f"[runtime] executor names {name!r}, which cannot be imported: {exc}. "
            "Name a function as package.module:function, and put its module on PYTHONPATH."
        )
        raise ConfigError(msg) from exc
    return factory
