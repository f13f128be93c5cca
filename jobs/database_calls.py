"""Calls of databases that are in progress: how long each has waited, for whom, and how it is ended.

Servers end what takes too long by their own timeouts. A server that hangs does not, and SQLite has no such timeouts,
so a thread of this process watches the calls too.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field

_WATCH_SECONDS = 0.25
_SERVER_SECONDS = 2.0  # that a server has to report its own timeout, before the call is cancelled from here
_CANCEL_SECONDS = 3.0  # that a cancelled call has to end, before its connection is severed

_owner: ContextVar[str | None] = ContextVar("owner_of_database_calls", default=None)


def _nothing() -> None:
    """Stand in until there is a connection: the timeout of connecting bounds the call."""


@dataclass(frozen=True)
class Wait:
    """How long a call has waited, and for which database."""

    seconds: float
    place: str


@dataclass(eq=False)
class Call:
    """A transaction, or a read outside of one, that is in progress.

    Attributes:
        limit: Seconds that one step of it may take.
        place: The database, without secrets.
        owner: The monitor that it works for, if any.
        cancel: Requests that the database end the present statement.
        sever: Cuts the connection.
        since: Begin of the present step, by `time.monotonic`.
        thread: The number of the thread that waits for it.
    """

    limit: float
    place: str = ""
    owner: str | None = None
    cancel: Callable[[], None] = _nothing
    sever: Callable[[], None] = _nothing
    since: float = field(default_factory=time.monotonic)
    is_idle: bool = False
    is_cancelled: bool = False
    thread: int = field(default_factory=threading.get_ident)

    def proceed(self) -> None:
        """Begin the next step, such as a statement."""
        self.since, self.is_idle = time.monotonic(), False

    def rest(self) -> None:
        """End a step; the database is not waited for until the next one."""
        self.is_idle = True

    @property
    def waited(self) -> float:
        """Seconds that the present step has taken."""
        return 0.0 if self.is_idle else time.monotonic() - self.since


class DatabaseCalls:
    """The calls of this process; any thread may look at them and end them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._watch: threading.Thread | None = None
        self._patience: float | None = None

    @contextmanager
    def in_progress(self, limit: float, place: str) -> Iterator[Call]:
        """Watch a call for the time of a block."""
        call = Call(limit, place, _owner.get())
        outer = current_call()
        with self._lock:
            self._calls.add(call)
            if self._watch is None:
                self._watch = threading.Thread(target=self._watch_calls, name="database-calls", daemon=True)
                self._watch.start()
        if outer is not None:
            outer.rest()
        _of_thread.call = call
        try:
            yield call
        finally:
            _of_thread.call = outer
            with self._lock:
                self._calls.discard(call)
            if outer is not None:
                outer.rest()

    def waiting(self, longer_than: float) -> dict[str, Wait]:
        """Return the longest wait of each owner that has waited for a number of seconds."""
        waits = [(call.owner, Wait(call.waited, call.place)) for call in self._in_progress()]
        longest = sorted(waits, key=lambda item: item[1].seconds)
        return {owner: wait for owner, wait in longest if owner is not None and wait.seconds > longer_than}

    def cancel_calls_of(self, thread: threading.Thread) -> None:
        """Request that the databases end the present statements of a thread."""
        for call in self._in_progress():
            if call.thread == thread.ident:
                in_background(call.cancel)

    def end_within(self, seconds: float) -> None:
        """From now on, let no call wait longer than this: the process is about to end."""
        self._patience = seconds

    def _in_progress(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def _watch_calls(self) -> None:
        while True:
            time.sleep(_WATCH_SECONDS)
            for call in self._in_progress():
                self._end_if_overdue(call)

    def _end_if_overdue(self, call: Call) -> None:
        limit = call.limit + _SERVER_SECONDS if self._patience is None else min(call.limit, self._patience)
        waited = call.waited
        if waited > limit and not call.is_cancelled:
            call.is_cancelled = True
            in_background(call.cancel)
        elif waited > limit + _CANCEL_SECONDS:
            in_background(call.sever)
            call.proceed()


def current_call() -> Call | None:
    """Return the innermost call of this thread."""
    return getattr(_of_thread, "call", None)


def lift_limit() -> None:
    """Let the steps of this thread's call take as long as they need."""
    call = current_call()
    if call is not None:
        call.limit = math.inf


@contextmanager
def working_for(owner: str) -> Iterator[None]:
    """Make the calls of a block those of an owner."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def in_background(action: Callable[[], None]) -> None:
    """Run an action on a connection of another thread, which may end at any time.

    A request to cancel waits for the network as long as that drops packets: nothing else may wait for it.
    """

    def run() -> None:
        with suppress(Exception):
            action()

    threading.Thread(target=run, name="end-database-call", daemon=True).start()


_of_thread = threading.local()
CALLS = DatabaseCalls()
