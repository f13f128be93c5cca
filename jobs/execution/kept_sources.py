"""Sources that a worker keeps open from task to task of one command, as a run in one process does."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock, Timer
from weakref import finalize

from jobs.app import App
from jobs.reading.source import Source
from schemas.config import MonitorConfig

IDLE_SECONDS = 30.0  # between two tasks, before the connections are closed


@dataclass(frozen=True)
class _Kept:
    """An open source between two tasks.

    Attributes:
        command: whose tasks use it; another command describes the table again.
        monitor: the settings that it was opened with.
        source: serves one thread at a time.
        connections: closes it.
        end: closes it once it has been idle for too long.
    """

    command: str
    monitor: MonitorConfig
    source: Source
    connections: ExitStack
    end: Timer

    def close(self) -> None:
        """Close the source before its time."""
        self.end.cancel()
        self.connections.close()


class KeptSources:
    """The sources of a worker between tasks: one for each monitor, closed when it is idle and when the process ends.

    Args:
        app: opens the sources.
        idle_seconds: after which a source is closed.
    """

    def __init__(self, app: App, idle_seconds: float = IDLE_SECONDS) -> None:
        self._app, self._idle_seconds = app, idle_seconds
        self._lock = Lock()
        self._kept: dict[str, _Kept] = {}
        finalize(self, _close_all, self._kept)

    @contextmanager
    def borrowed(self, command: str, name: str, monitor: MonitorConfig) -> Iterator[Source]:
        """Lend a source for a task, that of the task before if it is free; after a failure it is closed.

        Args:
            command: the task's.
            name: of the monitor.
            monitor: its settings in force.
        """
        with ExitStack() as connections:
            source = self._take(connections, command, name, monitor)
            if source is None:
                source = connections.enter_context(self._app.open_source(name, monitor))
            yield source
            self._keep(name, (command, monitor, source, connections.pop_all()))

    def _take(self, connections: ExitStack, command: str, name: str, monitor: MonitorConfig) -> Source | None:
        """Return the source of a monitor, to be closed with the connections; None if it is in use or unfit."""
        kept = self._removed(name)
        if kept is None:
            return None
        if (kept.command, kept.monitor) != (command, monitor):
            kept.close()
            return None
        kept.end.cancel()
        connections.push(kept.connections)
        return kept.source

    def _keep(self, name: str, opened: tuple[str, MonitorConfig, Source, ExitStack]) -> None:
        end = Timer(self._idle_seconds, self._close, [name])
        end.daemon = True
        with self._lock:
            of_another_thread = self._kept.get(name)
            self._kept[name] = _Kept(*opened, end)
        end.start()
        if of_another_thread is not None:
            of_another_thread.close()

    def _close(self, name: str) -> None:
        kept = self._removed(name)
        if kept is not None:
            kept.close()

    def _removed(self, name: str) -> _Kept | None:
        with self._lock:
            return self._kept.pop(name, None)


def _close_all(kept: dict[str, _Kept]) -> None:
    for each in kept.values():
        each.close()
