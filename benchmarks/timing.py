"""The time of a call and the memory of a process; it imports little, as some measured processes are small."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TypeVar

Result = TypeVar("Result")


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of a call, and the seconds it took."""
    started = perf_counter()
    result = call()
    return result, perf_counter() - started


def resident_bytes(process_id: int, field: str = "VmRSS") -> int:
    """Return the memory of a process on Linux that a field of its status reports."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
