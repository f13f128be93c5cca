"""Memory of a process: garbage collection that waits until it has started, and what the C library keeps.

The imports of a command create some 300,000 objects, none of them garbage. Looking through them again and again takes a
fifth of the time of a short command, and looking through them at its end a third.
"""

import gc
from contextlib import suppress
from typing import Any, Literal

START_UP_OBJECTS = 300_000  # that a process creates before its first collection
_M_ARENA_MAX = -8  # of malloc.h


def postpone_collection() -> None:
    """Put off the first collection until there are as many new objects as a start creates; then collect as usual."""
    usual = gc.get_threshold()
    if usual[0] == START_UP_OBJECTS:  # put off already
        return

    def collect_as_usual(phase: Literal["start", "stop"], _info: dict[str, int]) -> None:
        if phase == "stop":
            gc.callbacks.remove(collect_as_usual)
            gc.set_threshold(*usual)

    gc.callbacks.append(collect_as_usual)
    gc.set_threshold(START_UP_OBJECTS, *usual[1:])


def skip_last_collections() -> None:
    """Let the interpreter end without a search for garbage: the system takes the memory back as a whole."""
    gc.freeze()


def share_arena() -> None:
    """Let all threads allocate from one arena of the C library, if it is the GNU one.

    Otherwise each thread that reads or scores gets an arena, and the memory that it frees serves no other thread.
    """
    with suppress(AttributeError, OSError):  # other C libraries have no such setting
        _c_library().mallopt(_M_ARENA_MAX, 1)


def return_memory() -> None:
    """Return the memory that was freed to the system, which the C library would keep for later allocations."""
    with suppress(AttributeError, OSError):  # other C libraries have no such function
        _c_library().malloc_trim(0)


def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)
