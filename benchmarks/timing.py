"""The time of a call, in a module that imports nothing: some measured processes are small."""

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

Result = TypeVar("Result")


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of a call, and the seconds it took."""
    started = perf_counter()
    result = call()
    return result, perf_counter() - started
