"""Dask: a cluster whose scheduler hands tasks to workers. The only module that imports `distributed`."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from jobs.execution.engine import LOSSES, Engine
from schemas.errors import ConfigError

_CONNECT_SECONDS = 10


def dask_engine(scheduler: str | None) -> Engine:
    """Return the engine of a Dask cluster.

    Args:
        scheduler: its address; by default that of Dask's own configuration.

    Raises:
        ConfigError: If Dask is not installed, or there is no address.
    """
    try:
        import dask
        from distributed import KilledWorker
    except ImportError as exc:
        msg = "[runtime] executor = \"dask\" needs the package distributed. Install it: pip install 'plumbline[dask]'"
        raise ConfigError(msg) from exc
    address = scheduler or dask.config.get("scheduler-address", None)
    if address is None:
        raise ConfigError(
            '[runtime] executor = "dask" needs the address of a scheduler. Set `scheduler` there, such as '
            '"tcp://scheduler:8786", or the environment variable DASK_SCHEDULER_ADDRESS.'
        )
    return Engine("dask", partial(_opened, address), (*LOSSES, KilledWorker))


class _OldestFirst(Executor):
    """Hands out tasks in the order of their submission, so that a repeated one goes before those that wait for it."""

    def __init__(self, executor: Executor) -> None:
        self._executor, self._submitted = executor, count()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """Submit a task with a lower priority than all before it."""
        return self._executor.submit(function, *arguments, priority=-next(self._submitted), **options)


@contextmanager
def _opened(address: str) -> Iterator[Executor]:
    from distributed import Client

    with Client(address, timeout=_CONNECT_SECONDS, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        yield _OldestFirst(client.get_executor(pure=False))
