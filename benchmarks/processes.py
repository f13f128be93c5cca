"""Tasks of a benchmark, each in a process of a pool."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# Processes share the cores among them: a library with threads of its own would slow its neighbours down.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


def completed(
    work: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Iterator[tuple[Task, Future[Result]]]:
    """Tasks as they end, each in one of so many processes; what is left is dropped where the caller stops."""
    os.environ.update(ENVIRONMENT)  # read by the libraries when a spawned process imports them
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_end_on_interrupt)
    try:
        futures = {pool.submit(work, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def succeeded(
    work: Callable[[Task], Result], tasks: Sequence[Task], processes: int, outcome: Callable[[Result], str]
) -> Iterator[Result]:
    """The results of tasks as they end; how each ended is said on standard error, `outcome` for a success."""
    for number, (task, future) in enumerate(completed(work, tasks, processes), start=1):
        error = future.exception()
        if not error:
            yield future.result()
        say(f"[{number}/{len(tasks)}] {task}: {f'failed: {error}' if error else outcome(future.result())}")


def say(text: str) -> None:
    """A line for people on standard error."""
    sys.stderr.write(text + "\n")


def _end_on_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
