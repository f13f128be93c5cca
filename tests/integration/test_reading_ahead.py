"""While a batch is scored, the next one is read and the one before is written; nothing else changes by that."""

from contextlib import closing
from datetime import timedelta
from threading import Event

import numpy as np
import pytest
from sqlalchemy import text

from jobs.alert_messages import ALERT_TEXTS
from jobs.databases import reading
from jobs.reading.source import Source
from jobs.scoring.run import plan_batches, score_monitor, score_next
from jobs.store.ledger import Choice, Ledger
from schemas.config import MonitorConfig
from schemas.errors import SourceError, StoreError
from schemas.tables import anomalies, batches, scores
from tests.watched_table import MonitoredTable, RuleScorer

LONG_STATEMENTS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}
WAIT_SECONDS = 60


class HangingSource(Source):
    """A source that hangs while it reads the batch past a key."""

    def __init__(self, pump, after):
        super().__init__("pump", MonitorConfig(**{k: v for k, v in pump.settings.items() if v}), pump.store.engine)
        self.after, self.is_read = (after,), Event()

    def pages(self, after, upto=None, **options):
        if after == self.after:
            self.is_read.set()
            with reading(self.engine, SourceError) as connection:
                connection.execute(text(LONG_STATEMENTS[self.engine.dialect.name])).all()
        return super().pages(after, upto, **options)


class InterruptedScorer(RuleScorer):
    """A scorer that is interrupted as soon as the next batch is being read."""

    def __init__(self, next_is_read):
        super().__init__()
        self.next_is_read = next_is_read

    def score(self, _records, _vae_of="none"):
        assert self.next_is_read.wait(WAIT_SECONDS)
        raise KeyboardInterrupt


class NotingScorer(RuleScorer):
    """A scorer that notes when it has scored two batches."""

    def __init__(self):
        super().__init__()
        self.batches, self.has_scored_two = 0, Event()

    def score(self, records, vae_of="none"):
        self.batches += 1
        if self.batches == 2:
            self.has_scored_two.set()
        return super().score(records, vae_of)


class SecondInterrupted(RuleScorer):
    """A scorer that is interrupted at the second batch, once the first one is being written."""

    def __init__(self, is_writing):
        super().__init__()
        self.is_writing, self.batches = is_writing, 0

    def score(self, records, vae_of="none"):
        self.batches += 1
        if self.batches == 2:
            assert self.is_writing.wait(WAIT_SECONDS)
            raise KeyboardInterrupt
        return super().score(records, vae_of)


class SecondFails(NotingScorer):
    """A scorer of a store that is away at the second batch."""

    def score(self, records, vae_of="none"):
        scores = super().score(records, vae_of)
        if self.batches == 2:
            raise StoreError("The store is away.")
        return scores


class PatientLedger(Ledger):
    """A ledger that writes no result before two batches are scored."""

    def __init__(self, engine, texts, has_scored_two):
        super().__init__(engine, texts)
        self.has_scored_two = has_scored_two

    def finish(self, *arguments, **options):
        assert self.has_scored_two.wait(WAIT_SECONDS)
        super().finish(*arguments, **options)


class RefusingLedger(Ledger):
    """A ledger of a store that refuses the first result."""

    def finish(self, batch, *arguments, **options):
        if batch.id == 1:
            raise StoreError("The store refused.")
        super().finish(batch, *arguments, **options)


class HangingLedger(Ledger):
    """A ledger of a store that hangs while a result is written."""

    def __init__(self, engine, texts):
        super().__init__(engine, texts)
        self.is_writing = Event()

    def finish(self, *_arguments, **_options):
        with reading(self.engine) as connection:
            self.is_writing.set()
            connection.execute(text(LONG_STATEMENTS[self.engine.dialect.name])).all()


@pytest.fixture
def pump(store):
    pump = MonitoredTable(store)
    rng = np.random.default_rng(0)
    for key, value in enumerate(rng.normal(size=33) * 3, 1):
        pump.put(key, value=float(value), entity=f"pump-{key % 3}")
    return pump


def results(pump):
    """Return what scoring wrote, in the order of the records."""
    c, s = anomalies.c, scores.c
    flagged = pump.rows(c.record_key, c.anomaly_score, c.p_value, c.entity, c.record_time, c.top_feature)
    scored = pump.rows(s.record_key_int, s.anomaly_score, s.p_value, s.is_anomaly, s.entity)
    return flagged, scored, pump.hours(), pump.ledger("id", "state", "records", "anomalies", "checksum", "attempts")


def test_an_interrupt_while_the_next_batch_is_read_loses_and_doubles_nothing(pump):
    with closing(HangingSource(pump, after=5)) as source:
        scorer = InterruptedScorer(source.is_read)
        with pytest.raises(KeyboardInterrupt):
            score_monitor(source, pump.store, pump.clock, load=lambda *_: scorer)
    first, second = pump.ledger("id", "state", "token", "lease_until", "attempts")[:2]
    assert (first[1:], second[1:]) == (("pending", None, None, 1), ("pending", None, None, 0))
    assert pump.rows(scores.c.record_key) == []
    assert pump.score().records == 33
    assert pump.rows(scores.c.record_key_int) == list(range(1, 34))
    assert {row[1] for row in pump.ledger("id", "state")} == {"done"}


def test_batches_that_are_read_ahead_have_the_results_of_batches_that_are_not(pump):
    with closing(pump.source()) as source:
        plan_batches(source, pump.store, pump.clock)
        while score_next(source, pump.store, pump.clock, Choice(), load=pump.load) is not None:
            pass
    plain = results(pump)
    assert (len(plain[0]) > 0, len(plain[1]), len(plain[3])) == (True, 33, 7)
    pump.store.monitors.delete("pump", pump.clock())
    pump.train("pump")
    pump.score()
    ahead = results(pump)
    assert ahead[:3] == plain[:3]
    assert [row[1:] for row in ahead[3]] == [row[1:] for row in plain[3]]


def test_a_run_that_stops_gives_back_the_batch_that_was_read_ahead(pump):
    done = []
    assert pump.score(progress=done.append, should_stop=lambda: len(done) == 2).batches == 3  # the last was scored
    rows = pump.rows(batches.c.id, batches.c.state, batches.c.attempts, batches.c.token)
    assert [row[1:] for row in rows[3:]] == [("pending", 0, None)] * 4


def test_a_batch_is_scored_while_the_one_before_is_written(pump):
    scorer = NotingScorer()
    pump.load = lambda *_: scorer
    pump.store.ledger = PatientLedger(pump.store.engine, ALERT_TEXTS, scorer.has_scored_two)
    assert pump.score().batches == 7
    assert {row[1] for row in pump.ledger("id", "state")} == {"done"}


def test_a_result_that_cannot_be_written_loses_and_doubles_nothing(pump):
    ledger = pump.store.ledger
    pump.store.ledger = RefusingLedger(pump.store.engine, ALERT_TEXTS)
    with pytest.raises(StoreError, match="refused"):
        pump.score()
    assert pump.ledger("id", "state", "attempts", "error")[0][1:] == ("pending", 1, "The store refused.")
    pump.store.ledger = ledger
    pump.score()
    assert pump.rows(scores.c.record_key_int) == list(range(1, 34))


def test_a_run_that_fails_counts_the_batch_that_was_being_written(pump):
    scorer = SecondFails()
    pump.load = lambda *_: scorer
    pump.store.ledger = PatientLedger(pump.store.engine, ALERT_TEXTS, scorer.has_scored_two)
    with pytest.raises(StoreError, match="away"):
        pump.score()
    assert [row[1] for row in pump.ledger("id", "state")] == ["done", *["pending"] * 6]
    run = pump.store.runs.status("pump").last_runs["score"]
    assert (run.outcome, run.counts["batches"], run.counts["records"]) == ("failed", 1, 5)


def test_an_interrupt_ends_a_writing_that_hangs(pump):
    ledger, load = pump.store.ledger, pump.load
    pump.store.ledger = hanging = HangingLedger(pump.store.engine, ALERT_TEXTS)
    pump.load = lambda *_: SecondInterrupted(hanging.is_writing)
    with pytest.raises(KeyboardInterrupt):
        pump.score()
    pump.store.ledger, pump.load = ledger, load
    held = pump.ledger("id", "state", "token", "lease_until", "attempts")
    assert [row[1:] for row in held[:3]] == [("pending", None, None, attempts) for attempts in (1, 1, 0)]
    assert pump.score().records == 33
    assert pump.rows(scores.c.record_key_int) == list(range(1, 34))


def test_the_last_batch_is_left_for_a_worker_that_has_none(pump, now):
    with closing(pump.source()) as source:
        plan_batches(source, pump.store, pump.clock)
    ledger, hour = pump.store.ledger, timedelta(hours=1)
    current = ledger.claim("pump", 1, now, hour)
    ahead = [ledger.claim("pump", 1, now, hour, Choice(ahead_of=current)) for _ in range(6)]
    assert [batch is None for batch in ahead] == [False] * 5 + [True]
    assert ledger.claim("pump", 1, now, hour) is not None


def test_a_worker_never_claims_ahead_a_batch_that_its_present_one_would_wait_for(pump, now):
    with closing(pump.source()) as source:
        plan_batches(source, pump.store, pump.clock)
    ledger, hour = pump.store.ledger, timedelta(hours=1)
    failing = ledger.claim("pump", 1, now, hour, Choice(in_order=True))
    current = ledger.claim("pump", 1, now, hour, Choice(in_order=True))
    ledger.release(failing, "another worker could not score it")
    ahead = ledger.claim("pump", 1, now, hour, Choice(in_order=True, ahead_of=current))
    assert ahead.id > current.id
    assert pump.store.turns.take(current, now) == "give_way"
