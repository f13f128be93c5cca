"""Writes the result of a scored batch in a thread of its own, so that the next batch is scored meanwhile."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread

from jobs.database_calls import CALLS
from jobs.scoring.outcomes import BatchOutcome

_PATIENCE_SECONDS = 2.0  # for a writing that is to end, before it is cancelled
_CANCEL_SECONDS = 5.0  # that it has to end then, and to release its batch


class BatchWriting:
    """A scored batch whose result is being written.

    Args:
        batch_id: of the batch.
        write: writes the result and returns the outcome of the batch.
        after: the writing of the batch before, which is waited for; None if there is none.
        in_thread: whether another thread writes; otherwise the result is written when the object is created.
    """

    def __init__(
        self,
        batch_id: int,
        write: Callable[[], BatchOutcome],
        after: "BatchWriting | None" = None,
        *,
        in_thread: bool = False,
    ) -> None:
        self.batch_id = batch_id
        self._outcome: Future[BatchOutcome] = Future()
        self._thread: Thread | None = None
        if not in_thread:
            self._run(write, after)
            return
        context = copy_context()  # the owner of its database calls, and the context of the log
        arguments = (self._run, write, after)
        self._thread = Thread(target=context.run, args=arguments, name="plumbline-write", daemon=True)
        self._thread.start()

    @property
    def is_in_thread(self) -> bool:
        """Whether another thread writes, so that the outcome may not be there yet."""
        return self._thread is not None

    def outcome(self) -> BatchOutcome:
        """Return the outcome of the batch, once its result is written.

        Raises:
            StoreError: If the result cannot be written.
        """
        return self._outcome.result()

    def wait(self) -> None:
        """Wait for the outcome, or for the error."""
        self._outcome.exception()

    def close(self) -> None:
        """Wait until the result is written; a writing that does not end soon is cancelled, and then left to its thread.

        A cancelled writing leaves nothing behind, and its batch is scored again.
        """
        if self._thread is None:
            return
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            CALLS.cancel_calls_of(self._thread)
            self._thread.join(_CANCEL_SECONDS)

    def _run(self, write: Callable[[], BatchOutcome], after: "BatchWriting | None") -> None:
        if after is not None:
            after.wait()
        try:
            self._outcome.set_result(write())
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread that scores
            self._outcome.set_exception(exc)
