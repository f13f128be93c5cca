"""A pool of processes for the tasks of a benchmark, with progress on standard error."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# Processes share the cores: a library with threads of its own would slow the other processes down.
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
    """Yield tasks as they end in a pool of processes; if the caller stops, the remaining tasks are cancelled."""
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
    """Yield the results of tasks as they end, and report each end on standard error, a success by `outcome`."""
    for number, (task, future) in enumerate(completed(work, tasks, processes), start=1):
        error = future.exception()
        if not error:
            yield future.result()
        print_progress(f"[{number}/{len(tasks)}] {task}: {f'failed: {error}' if error else outcome(future.result())}")


def print_progress(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(text + "\n")


def _end_on_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
