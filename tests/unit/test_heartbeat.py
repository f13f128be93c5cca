"""A lease is renewed while its work is running, and not after."""

import logging
from datetime import timedelta
from threading import Event
from threading import enumerate as enumerate_threads

import pytest

from jobs.heartbeat import heartbeat
from schemas.errors import StoreError

SOON = timedelta(milliseconds=1)
DEADLINE = 30  # seconds


def test_the_heartbeat_ends_with_its_block_even_on_an_error():
    beaten = Event()

    def work():
        with heartbeat(beaten.set, SOON):
            assert beaten.wait(DEADLINE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not [thread.name for thread in enumerate_threads() if "heartbeat" in thread.name]


def test_a_failed_renewal_is_logged_and_retried(caplog):
    answers, again = iter([StoreError("away"), StoreError("away")]), Event()

    def renew():
        if (answer := next(answers, None)) is not None:
            raise answer
        again.set()

    with caplog.at_level(logging.WARNING, "plumbline"), heartbeat(renew, SOON):
        assert again.wait(DEADLINE)
    assert caplog.messages == ["a lease was not renewed: away"] * 2
