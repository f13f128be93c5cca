"""Ctrl-C that cannot be lost.

An interrupt that arrives while a compiled library calls back into Python is raised there, and some libraries drop it.
So it is recorded as well, and work stops at its next report of progress at the latest.
"""

import signal
import threading
from types import FrameType

_interrupted = threading.Event()


def handle_signals() -> None:
    """Let SIGINT and SIGTERM interrupt this process, so that both stop a service as Ctrl-C stops a command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if an interrupt has come, even if a library dropped it."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


def is_interrupt(error: Exception) -> bool:
    """Return whether an error is all that a compiled library has left of an interrupt."""
    return isinstance(error, SystemError) and _interrupted.is_set()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt
