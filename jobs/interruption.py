"""Ctrl-C that cannot be lost.

An interrupt that arrives while a compiled library calls back into Python is raised there, and some
libraries drop it. So the wish to stop is remembered, and work stops at its next report of progress at
the latest.
"""

import signal
import threading
from types import FrameType

_asked = threading.Event()


def listen() -> None:
    """Let SIGINT and SIGTERM interrupt this process: a service is stopped as Ctrl-C stops a command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt where an interrupt has come, though it may have been dropped."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
