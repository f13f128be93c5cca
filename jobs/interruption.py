"""Interrupts that cannot get lost.

An interrupt that arrives while a compiled library calls back into Python is raised there, and some
libraries discard it. So each interrupt is also recorded, and work stops at its next progress report at
the latest.
"""

import signal
import threading
from types import FrameType

_interrupted = threading.Event()


def install_handlers() -> None:
    """Let SIGTERM interrupt this process as SIGINT (Ctrl-C) does, and record both."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if an interrupt was received, even if a library discarded it."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt
