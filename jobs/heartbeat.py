"""Keeps a lease while its work is in progress."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from schemas.errors import LostLease, LostRequest, PlumblineError

_LOG = logging.getLogger("plumbline")
_MAX_PAUSE = timedelta(hours=1)  # threads cannot wait for any length of time
_JOIN_SECONDS = 5.0


@contextmanager
def heartbeat(renew: Callable[[], None], every: timedelta) -> Iterator[None]:
    """Call `renew` at each interval, from a thread that ends with the block.

    A renewal that fails is logged and tried again at the next beat: the database may be away for a moment.
    A lost lease ends the beats; the work fails when it writes its result.
    """
    is_over = Event()
    pause = min(every, _MAX_PAUSE)
    thread = Thread(target=_beat, args=(renew, pause, is_over), name="plumbline-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(_JOIN_SECONDS)  # a thread that hangs on a dead connection has no other work left


def _beat(renew: Callable[[], None], pause: timedelta, is_over: Event) -> None:
    while not is_over.wait(pause.total_seconds()):
        try:
            renew()
        except (LostLease, LostRequest):
            return
        except PlumblineError as exc:
            _LOG.warning("a lease was not renewed: %s", exc)
