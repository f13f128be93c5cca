"""Calls of databases that take too long are ended, each by itself."""

import threading

from jobs import database_calls
from jobs.database_calls import DatabaseCalls

DEADLINE_SECONDS = 30


def test_a_request_to_cancel_that_hangs_keeps_no_other_call_from_its_end(monkeypatch):
    monkeypatch.setattr(database_calls, "_SERVER_SECONDS", 0.0)
    monkeypatch.setattr(database_calls, "_CANCEL_SECONDS", 0.0)
    calls, is_over, is_severed, is_cancelled = DatabaseCalls(), *(threading.Event() for _ in range(3))
    with calls.in_progress(60, "silent") as first, calls.in_progress(60, "other") as second:
        first.cancel, first.sever, second.cancel = is_over.wait, is_severed.set, is_cancelled.set
        first.limit = second.limit = 0.01
        first.proceed()
        assert is_cancelled.wait(DEADLINE_SECONDS)
        assert is_severed.wait(DEADLINE_SECONDS)
        is_over.set()
