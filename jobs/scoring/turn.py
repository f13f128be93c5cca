"""The turn of a batch whose thresholds continue from the batch before.

Scores need no turn: workers compute those of several batches side by side. A batch takes its turn when it needs the
first threshold, and keeps it until its results are written.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from threading import Event
from typing import Any

from jobs.store import Batch, Store

_FIRST_PAUSE = 0.01  # seconds
_LONGEST_PAUSE = 0.25


class GaveWay(Exception):
    """Raised if an earlier batch has to be scored first, or the worker is to stop; the batch is claimed again later."""


class Turn:
    """The turn of a claimed batch.

    Args:
        batch: that waits.
        store: keeps the order of the batches, and the states of thresholds.
        clock: the time now.
        should_stop: returns true if the worker is not to wait any longer.
    """

    def __init__(
        self, batch: Batch, store: Store, clock: Callable[[], datetime], should_stop: Callable[[], bool]
    ) -> None:
        self._batch, self._store, self._clock, self._should_stop = batch, store, clock, should_stop
        self._is_taken = False
        self._entities: set[str] = set()
        self._states: dict[str, dict[str, Any]] = {}

    def expect(self, entities: Iterable[str]) -> None:
        """Note entities whose thresholds will be needed, so that they are read together."""
        self._entities.update(entities)

    def stored_threshold(self, entity: str) -> dict[str, Any] | None:
        """Return the state of an entity's threshold as the batch before left it; None if it has not started.

        The first call waits for the turn of the batch.

        Raises:
            GaveWay: If no worker has an earlier batch that is not done, or the worker is to stop.
            LostLease: If another worker has taken the batch over.
        """
        if not self._is_taken:
            self._wait()
            self._is_taken = True
        if entity in self._entities:
            self._states |= self._store.threshold_states.before_batch_of(self._batch, self._entities)
            self._entities.clear()
        if entity in self._states:
            return self._states[entity]
        return self._store.threshold_states.before_batch(self._batch, entity)

    def _wait(self) -> None:
        pause, never = _FIRST_PAUSE, Event()
        while (answer := self._store.turns.take(self._batch, self._clock())) != "taken":
            if answer == "give_way" or self._should_stop():
                raise GaveWay
            never.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
