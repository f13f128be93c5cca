"""Retrain requests: one training serves all that wait, and a dead worker's request is picked up again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text

from detector.core.comparison import ComparisonReport
from detector.records.card import RecordCard
from jobs.app import open_store
from jobs.databases import writing
from jobs.store import AlertQuery, EventQuery, NewModel, RequestQuery, ServedRequest
from jobs.store.requests import MAX_ATTEMPTS
from schemas.errors import LostRequest, NoSuchMonitor, StoreError, TooManyRequests
from schemas.request_guard import MAX_REQUESTS_PER_HOUR, drop_guard
from tests.mariadb_server import on_mariadb_too

LEASE = timedelta(minutes=5)
BETTER = ComparisonReport(verdict="better", is_promoted=True, reason="It is better.")
MODEL = NewModel(b"\x00weights", "ab" * 32, {}, RecordCard(), comparison=BETTER)
ROWS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {1}) SELECT {0} FROM r"
HOSTILE = "'; DROP TABLE models; -- \\ \"é{}%s"


def states(store, monitor="pump"):
    requests = store.requests.page(RequestQuery(monitor))
    return {request.id: (request.state, request.served_by) for request in reversed(requests)}


def die(store, claim, now, times=1):
    """Claim a request as workers that are killed, and return the end of the last lease."""
    for _ in range(times):
        now += 2 * LEASE
        claim = store.requests.claim(claim, now, LEASE)
        assert claim is not None
        claim = claim.monitor
    return now + 2 * LEASE


@on_mariadb_too
def test_all_that_wait_for_a_monitor_are_served_by_the_oldest(store, now):
    first, second = (store.requests.add("pump", reason, now) for reason in ("schedule", HOSTILE))
    store.requests.add("boiler", "drift", now)
    claim = store.requests.claim("pump", now, LEASE)
    later = store.requests.add("pump", "api", now)
    assert (claim.id, claim.reason, claim.attempts) == (first, "schedule", 1)
    assert states(store) == {first: ("running", None), second: ("running", first), later: ("pending", None)}
    model_id = store.models.add("pump", MODEL, now, promote=True, serves=ServedRequest(claim))
    assert states(store) == {first: ("done", None), second: ("done", first), later: ("pending", None)}
    served = store.requests.page(RequestQuery("pump", state="done"))
    assert {(r.model_id, r.message, r.finished_at) for r in served} == {(model_id, "It is better.", now)}
    assert served[0].reason == HOSTILE


def test_a_monitor_is_trained_once_at_a_time(store, now):
    store.requests.add("pump", "api", now)
    claim = store.requests.claim("pump", now, LEASE)
    store.requests.add("pump", "api", now)
    assert store.requests.claim("pump", now + LEASE, LEASE) is None
    assert not store.requests.has_claimable(["pump"], now + LEASE)
    store.requests.renew(claim, now + LEASE, LEASE)
    assert store.requests.claim("pump", now + 2 * LEASE, LEASE) is None
    store.requests.fail(claim, "Found 3 normal records.", now)
    assert store.requests.has_claimable(["boiler", "pump"], now)
    assert not store.requests.has_claimable(["boiler"], now)
    assert store.requests.claim("pump", now, LEASE).id == claim.id + 1


@on_mariadb_too
def test_workers_at_once_claim_a_request_once(store, now):
    for _ in range(5):
        store.requests.add("pump", "api", now)
    with ThreadPoolExecutor(8) as workers:
        claims = list(workers.map(lambda _: open_store(store.engine).requests.claim("pump", now, LEASE), range(8)))
    assert sum(claim is not None for claim in claims) == 1
    assert [state for state, _ in states(store).values()] == ["running"] * 5


def test_a_dead_workers_request_is_picked_up_and_the_old_worker_is_refused(store, now):
    store.requests.add("pump", "api", now)
    dead = store.requests.claim("pump", now, LEASE)
    assert store.requests.has_claimable(["pump"], now + 2 * LEASE)
    claim = store.requests.claim("pump", now + 2 * LEASE, LEASE)
    assert (claim.id, claim.attempts) == (dead.id, 2)
    for outlived in (
        lambda: store.requests.renew(dead, now, LEASE),
        lambda: store.requests.fail(dead, "no", now),
        lambda: store.models.add("pump", MODEL, now, promote=True, serves=ServedRequest(dead)),
        lambda: store.requests.release(dead),
    ):
        with pytest.raises(LostRequest, match=f"retrain request {dead.id} ran out"):
            outlived()
    assert store.models.all() == []
    assert states(store) == {claim.id: ("running", None)}


def test_a_request_whose_workers_die_fails_with_all_it_serves_and_the_next_has_its_turn(store, now):
    killer, beside = (store.requests.add("pump", "api", now) for _ in range(2))
    now = die(store, "pump", now, MAX_ATTEMPTS)
    fresh = store.requests.add("pump", "api", now)
    assert store.requests.claim("pump", now, LEASE, channels=["ops"]).id == fresh
    assert states(store) == {killer: ("failed", None), beside: ("failed", killer), fresh: ("running", None)}
    messages = {request.message for request in store.requests.page(RequestQuery("pump", state="failed"))}
    assert len(messages) == 1
    assert "after 3 attempts" in messages.pop()
    (failure,) = store.events.page(EventQuery(kind="training_failed"))
    assert failure.message.startswith("A training of monitor 'pump' failed. Given up")
    assert [alert.channel for alert in store.outbox.page(AlertQuery())] == ["ops"]


def test_a_released_request_was_not_tried(store, now):
    first, second = (store.requests.add("pump", "api", now) for _ in range(2))
    for _ in range(MAX_ATTEMPTS + 1):
        store.requests.release(store.requests.claim("pump", now, LEASE))
    assert states(store) == {first: ("pending", None), second: ("pending", None)}
    assert store.requests.claim("pump", now, LEASE).attempts == 1


def test_a_request_is_put_off_with_all_it_serves_and_a_new_one_is_not(store, now):
    first, second = (store.requests.add("pump", "test", now) for _ in range(2))
    store.requests.put_off(store.requests.claim("pump", now, LEASE), "away", now + LEASE)
    assert (states(store), store.requests.has_claimable(["pump"], now)) == (
        dict.fromkeys((first, second), ("pending", None)),
        False,
    )
    assert store.requests.claim("pump", now, LEASE) is None
    assert {request.message for request in store.requests.page(RequestQuery("pump"))} == {"away"}
    third = store.requests.add("pump", "test", now)
    assert store.requests.has_claimable(["pump"], now)
    claim = store.requests.claim("pump", now, LEASE)
    assert (claim.id, claim.attempts, claim.failures) == (first, 1, 1)
    assert states(store) == {first: ("running", None), **dict.fromkeys((second, third), ("running", first))}
    store.requests.put_off(claim, "away", now + LEASE)
    assert store.requests.claim("pump", now + LEASE, LEASE).failures == 2


def test_the_requests_of_a_claimant_that_has_ended_are_released_together(store, now):
    first, second = (store.requests.add("pump", "api", now) for _ in range(2))
    other = store.requests.add("fan", "api", now)
    store.requests.claim("pump", now, LEASE, claimant="serve_a")
    store.requests.claim("fan", now, LEASE, claimant="serve%a")
    assert store.requests.release_all("serve_a") == 1
    assert states(store) == {first: ("pending", None), second: ("pending", None)}
    assert states(store, "fan") == {other: ("running", None)}
    assert store.requests.claim("pump", now, LEASE).attempts == 1


@on_mariadb_too
def test_a_row_with_the_monitors_name_alone_is_a_request(store, now):
    store.monitors.register(["pump"])
    with writing(store.engine) as connection:
        connection.execute(text("INSERT INTO retrain_requests (monitor) VALUES ('pump')"))
    (request,) = store.requests.page(RequestQuery("pump"))
    assert (request.reason, request.state, request.attempts) == ("sql", "pending", 0)
    assert request.requested_at.tzinfo is not None
    assert store.requests.claim("pump", now, LEASE).id == request.id


def test_the_database_refuses_a_request_for_a_monitor_that_the_store_does_not_have(store):
    store.monitors.register(["pump"])
    for monitor in ("pmup", "PUMP", "", HOSTILE):
        with (
            pytest.raises(StoreError, match="There is no monitor of this name in the store"),
            writing(store.engine) as c,
        ):
            c.execute(text("INSERT INTO retrain_requests (monitor) VALUES (:monitor)"), {"monitor": monitor})
    assert states(store, None) == {}


def test_the_database_refuses_a_flood_of_requests_for_one_monitor_and_accepts_those_for_others(store):
    store.monitors.register(["pump", "boiler"])
    with (
        pytest.raises(StoreError, match=f"has had {MAX_REQUESTS_PER_HOUR} retrain requests"),
        writing(store.engine) as c,
    ):
        c.execute(text("INSERT INTO retrain_requests (monitor) " + ROWS.format("'pump'", 10_000)))
    with writing(store.engine) as connection:
        connection.execute(
            text("INSERT INTO retrain_requests (monitor) " + ROWS.format("'pump'", MAX_REQUESTS_PER_HOUR))
        )
        connection.execute(text("INSERT INTO retrain_requests (monitor) VALUES ('boiler')"))
    with pytest.raises(TooManyRequests, match="Monitor 'pump' has had"):
        store.requests.add("pump", "api", datetime.now(UTC))


def test_requests_of_an_earlier_version_for_unknown_monitors_fail_in_small_transactions(store, now):
    with writing(store.engine) as connection:
        drop_guard(connection)
        connection.execute(text("INSERT INTO retrain_requests (monitor) " + ROWS.format("'x' || n", 10_000)))
    transactions = []
    event.listen(store.engine, "commit", transactions.append)
    assert store.requests.fail_unknown(["pump"], now) == 10_000
    assert len(transactions) >= 10
    (request,) = store.requests.page(RequestQuery("x7"))
    assert (request.state, request.message) == ("failed", str(NoSuchMonitor("x7", ["pump"])))
    assert store.requests.fail_unknown(["pump"], now) == 0


def test_a_row_set_to_running_by_hand_is_no_training(store, now):
    store.monitors.register(["pump"])
    with writing(store.engine) as connection:
        connection.execute(text("INSERT INTO retrain_requests (monitor, state) VALUES ('pump', 'running')"))
    assert store.requests.has_claimable(["pump"], now)
    assert store.requests.claim("pump", now, LEASE) is not None


def test_a_request_for_an_unknown_monitor_fails_with_the_names(store, now):
    for monitor in ("pmup", "pump", "elsewhere"):
        store.requests.add(monitor, "sql", now)
    store.models.add("elsewhere", MODEL, now, promote=True)
    assert store.requests.fail_unknown(["pump", "boiler"], now) == 1
    assert [state for state, _ in states(store, None).values()] == ["failed", "pending", "pending"]
    assert "Its monitors: boiler, pump." in store.requests.page(RequestQuery("pmup"))[0].message


def test_requests_are_paged_newest_first(store, now):
    ids = [store.requests.add("pump", f"reason {n % 2}", now) for n in range(5)]
    page = store.requests.page(RequestQuery("pump", limit=2, before_id=ids[3]))
    assert [request.id for request in page] == [ids[2], ids[1]]
    odd = store.requests.page(RequestQuery(reason="reason 1"))
    assert [request.id for request in odd] == [ids[3], ids[1]]


def test_a_champion_that_was_changed_meanwhile_is_not_replaced_unseen(store, now):
    old, other = (store.models.add("pump", MODEL, now + n * LEASE, promote=True) for n in range(2))
    late = NewModel(b"", "", {}, RecordCard(), comparison=BETTER, beats=old)
    stays = store.models.get(store.models.add("pump", late, now + 2 * LEASE, promote=True))
    assert (stays.state, store.models.champion("pump").model_id) == ("challenger", other)
    assert stays.comparison.reason.startswith(f"Model {old}, with which it was compared, stopped being")
    assert stays.comparison.is_promoted is False
