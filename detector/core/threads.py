"""Threads that work on parts of the records; NumPy and the compiled kernels run in parallel in them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

Part = TypeVar("Part")
Result = TypeVar("Result")


def usual_threads() -> int:
    """Return the number of threads that matrix products use: one per processor, or OMP_NUM_THREADS."""
    return max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part], threads: int) -> list[Result]:
    """Apply a function to parts in a number of threads; return the results in the order of the parts.

    >>> in_threads(len, ["a", "bcd"], threads=2)
    [1, 3]
    """
    if threads == 1 or len(parts) == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        return list(pool.map(work, parts))
