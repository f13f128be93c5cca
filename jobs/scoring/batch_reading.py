"""Reads the records of a claimed batch in a thread of its own, so that they can be read while another is scored."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from threading import Thread

import pandas as pd

from jobs.database_calls import CALLS
from jobs.heartbeat import heartbeat
from jobs.reading.source import Source
from jobs.store import Batch, Store
from schemas.errors import SourceError
from schemas.fingerprint import Fingerprint
from schemas.unreadable import UnreadableRecord

_CANCEL_SECONDS = 0.1  # that a statement has to end, before the read is cancelled again: it may be at the next one
_MAX_CANCELS = 50


@dataclass(frozen=True)
class BatchRecords:
    """The records of a batch.

    Attributes:
        fingerprint: taken before the records are read, so that a change during the read is detected later.
        pages: frames of records; all but the first are read when they are needed. There is one page, unless records
            that came late have made the batch larger than it was planned.
        unreadable: gets the records that are on no page.
    """

    fingerprint: Fingerprint
    pages: Iterator[pd.DataFrame]
    unreadable: list[UnreadableRecord]

    @classmethod
    def read(cls, batch: Batch, source: Source) -> "BatchRecords":
        """Read the fingerprint and the first page of a batch."""
        fingerprint = source.fingerprint(batch.key_range)
        unreadable: list[UnreadableRecord] = []
        pages = source.pages(batch.key_range.after, batch.key_range.upto, left_out=unreadable)
        return cls(fingerprint, chain(list(islice(pages, 1)), pages), unreadable)


class BatchReading:
    """A claimed batch whose lease is renewed, and whose records are being read, until it is closed.

    A database in memory serves one thread, so the records of such a source are read when they are needed.

    Args:
        batch: that this worker has claimed.
        source: the watched table.
        store: keeps the lease.
        clock: the time now.
        is_ahead: whether another batch is scored meanwhile.
    """

    def __init__(
        self, batch: Batch, source: Source, store: Store, clock: Callable[[], datetime], *, is_ahead: bool = False
    ) -> None:
        self.batch, self.source, self.store, self.clock = batch, source, store, clock
        self._is_ahead = is_ahead
        self._open = ExitStack()
        lease = source.monitor.lease
        self._open.enter_context(heartbeat(lambda: store.ledger.renew(batch, clock(), lease), lease / 3))
        self._records: Future[BatchRecords] = Future()
        self._thread: Thread | None = None
        if source.serves_threads:
            context = copy_context()  # the owner of its database calls, and the context of the log
            self._thread = Thread(target=context.run, args=(self._read,), name="plumbline-read", daemon=True)
            self._thread.start()

    def records(self) -> BatchRecords:
        """Return the records, once the first page is read; if a read ahead has failed, they are read now.

        Raises:
            SourceError: If the table cannot be read.
        """
        if self._thread is None:
            return BatchRecords.read(self.batch, self.source)
        try:
            return self._records.result()
        except SourceError:
            if not self._is_ahead:
                raise
            return BatchRecords.read(self.batch, self.source)

    def close(self) -> None:
        """End the reading and the renewals of the lease; a read that does not end soon is left to its thread."""
        thread, self._thread = self._thread, None
        for _ in range(_MAX_CANCELS):
            if thread is None or not thread.is_alive():
                break
            CALLS.cancel_calls_of(thread)
            thread.join(_CANCEL_SECONDS)
        self._open.close()

    def _read(self) -> None:
        try:
            self._records.set_result(BatchRecords.read(self.batch, self.source))
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread that scores the batch
            self._records.set_exception(exc)
