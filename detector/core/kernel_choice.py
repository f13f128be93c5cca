"""The choice between compiled kernels and NumPy, which compute the same bits.

Loading Numba and the compiled code takes more than half a second and 100 MiB: many times the work on a few hundred
records. So a process starts in NumPy, and loads the compiled code once it has done the work of a few thousand records.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Code = Literal["compiled", "numpy"]

MAX_NUMPY_WORK = 500_000_000  # multiplications of a process in NumPy, about half a second


class KernelChoice:
    """Counts the work of this process, and loads the compiled code when it pays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work = 0
        self._is_loaded = False
        self._only: Code | None = None

    def is_compiled(self, work: int, load: Callable[[], None]) -> bool:
        """Return whether the compiled kernels do the next work.

        Args:
            work: number of multiplications, about.
            load: loads the compiled code; called once.
        """
        if self._is_loaded:
            return self._only != "numpy"
        with self._lock:
            if self._only is None:
                self._work += work
            if self._only == "numpy" or (self._only is None and self._work <= MAX_NUMPY_WORK):
                return False
            if not self._is_loaded:
                load()
                self._is_loaded = True
        return True

    @contextmanager
    def only(self, code: Code) -> Iterator[None]:
        """Let one kind of kernels do all work of the process within the block, to compare the two."""
        before, self._only = self._only, code
        try:
            yield
        finally:
            self._only = before


CHOICE = KernelChoice()
"""The choice of this process."""
