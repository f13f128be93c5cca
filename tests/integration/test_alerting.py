"""Alerts reach their channels at least once, within the rate, and in texts that leak nothing."""

import itertools
import threading
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select

from jobs.alert_messages import ALERT_TEXTS
from jobs.alerting import check_address, deliver_alerts, send_message, send_test
from jobs.app import open_store
from jobs.databases import reading, writing
from jobs.store.alerts import Message, add_event_alerts
from schemas.errors import AlertError, ConfigError
from schemas.tables import alerts, events, incidents
from tests.alert_receiver import receiving

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
OPS = {"ops": SecretStr("json://nobody:hunter2@127.0.0.1:9/path-of-secrets")}


class Channel:
    """A channel that records its messages, and can be made to fail."""

    def __init__(self):
        self.sent, self.bodies, self.is_down = [], [], False

    def __call__(self, address, message):
        if self.is_down:
            raise AlertError("The channel is down.")
        self.sent.append((address.get_secret_value(), message.title))
        self.bodies.append(message.body)

    @property
    def titles(self):
        return [title for _, title in self.sent]


class Desk:
    """A store with an outbox, a clock and a channel."""

    def __init__(self, store, now):
        self.store, self.now, self.channel = store, now, Channel()

    def put(self, *titles, channel="ops", at=None, **subject):
        shared = {"reason": "opened", "channel": channel, "body": "b", "created_at": at or self.now} | subject
        rows = [shared | {"title": title} for title in titles]
        with writing(self.store.engine) as connection:
            connection.execute(insert(alerts), [row | {"next_try_at": row["created_at"]} for row in rows])

    def deliver(self, after=timedelta(0), channels=OPS, per_hour=20):
        self.now += after
        return deliver_alerts(self.store.outbox, channels, per_hour, lambda: self.now, self.channel)

    def rows(self, *names):
        with reading(self.store.engine) as connection:
            return [
                tuple(row) for row in connection.execute(select(*(alerts.c[n] for n in names)).order_by(alerts.c.id))
            ]


@pytest.fixture
def desk(store, now):
    return Desk(store, now)


def test_alerts_are_sent_once_oldest_first_to_their_channel(desk):
    desk.put("first", "second")
    desk.put("third", channel="night")
    channels = {"ops": SecretStr("a"), "night": SecretStr("b")}
    report = desk.deliver(channels=channels)
    assert sorted(desk.channel.sent) == [("a", "first"), ("a", "second"), ("b", "third")]
    assert (report.messages, report.alerts, report.failures) == (3, 3, 0)
    assert desk.deliver(MINUTE, channels).messages == 0
    assert desk.rows("state", "attempts", "error") == [("sent", 1, None)] * 3


def test_a_failed_alert_is_tried_again_after_pauses_that_double(desk):
    desk.put("first")
    desk.channel.is_down = True
    tried = []
    for _ in range(40):
        before = desk.rows("attempts")
        desk.deliver(10 * SECOND)
        tried += [desk.now] if desk.rows("attempts") != before else []
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses == [30 * SECOND, 60 * SECOND, 120 * SECOND]
    assert desk.rows("state", "error") == [("pending", "The channel is down.")]
    desk.channel.is_down = False
    assert desk.deliver(HOUR).messages == 1
    assert desk.rows("state", "error") == [("sent", None)]


def test_an_alert_that_nobody_takes_for_a_day_has_failed(desk):
    desk.put("first")
    desk.channel.is_down = True
    for _ in range(30):
        desk.deliver(HOUR)
    assert desk.rows("state", "error") == [("failed", "The channel is down.")]
    desk.channel.is_down = False
    assert desk.deliver(HOUR).messages == 0
    (attempts,) = desk.rows("attempts")[0]
    assert 24 <= attempts <= 25


def test_an_alert_that_waited_for_a_day_is_not_lost_at_its_first_failure(desk):
    desk.put("first")
    desk.channel.is_down = True
    desk.deliver(48 * HOUR)
    assert desk.rows("state", "attempts") == [("pending", 1)]
    desk.channel.is_down = False
    assert desk.deliver(MINUTE).messages == 1


def test_a_channel_that_fails_is_left_alone_until_the_next_call(desk):
    desk.put("first", "second")
    desk.put("third", channel="night")
    assert desk.deliver(channels={"night": SecretStr("b")}).failures == 1
    assert desk.channel.titles == ["third"]
    assert desk.rows("attempts", "state") == [(1, "pending"), (0, "pending"), (1, "sent")]
    assert "no channel 'ops'. The channels of [alerts] are: night." in desk.rows("error")[0][0]


def test_a_channel_gets_at_most_its_messages_per_hour(desk):
    desk.put(*(f"alert {n}" for n in range(10)))
    report = desk.deliver(per_hour=3)
    assert desk.channel.titles == ["alert 0", "alert 1", "Plumbline: 8 alerts in one message"]
    assert (report.messages, report.alerts) == (3, 10)
    for _ in range(59):
        desk.put("meanwhile", at=desk.now)
        assert desk.deliver(MINUTE, per_hour=3).messages == 0
    assert {state for (state,) in desk.rows("state")} == {"sent", "pending"}


def test_held_back_alerts_are_sent_as_one_message_once_the_rate_allows(desk):
    desk.put("a", "b")
    assert desk.deliver(per_hour=2).messages == 2
    for minutes in (10, 20, 30):
        desk.put(f"held {minutes}", at=desk.now + timedelta(minutes=minutes))
    assert desk.deliver(HOUR - SECOND, per_hour=2).messages == 0
    report = desk.deliver(SECOND, per_hour=2)
    assert (report.messages, report.alerts) == (1, 3)
    assert desk.channel.titles[2:] == ["Plumbline: 3 alerts in one message"]
    assert desk.deliver(MINUTE, per_hour=2).messages == 0


@pytest.fixture
def incident(desk):
    """An incident of which the channel is alerted."""
    row = {"monitor": "pump", "state": "open", "start_time": desk.now, "end_time": desk.now, "peak_time": desk.now}
    numbers = {"peak_score": 1.0, "peak_severity": 50.0, "records": 1, "causes": [], "is_muted": False}
    times = {"opened_at": desk.now, "updated_at": desk.now}
    with writing(desk.store.engine) as connection:
        return connection.execute(
            insert(incidents).values(row | numbers | times).returning(incidents.c.id)
        ).scalar_one()


def test_what_waited_about_an_incident_in_quiet_hours_is_one_message(desk, incident):
    until = {"incident_id": incident, "not_before": desk.now + HOUR}
    desk.put("anomalous", reason="opened", **until)
    desk.put("other", not_before=desk.now + HOUR)
    desk.put("normal again", reason="ended", **until)
    assert desk.deliver(59 * MINUTE).messages == 0
    report = desk.deliver(MINUTE)
    assert (report.messages, report.alerts) == (2, 3)
    assert desk.channel.titles == ["normal again", "other"]


def test_a_severe_alert_in_quiet_hours_takes_with_it_what_waited_about_its_incident(desk, incident):
    desk.put("anomalous", reason="opened", incident_id=incident, not_before=desk.now + HOUR)
    desk.put("has become severe", reason="escalated", incident_id=incident)
    assert desk.deliver().alerts == 2
    assert desk.deliver(2 * HOUR).messages == 0
    assert desk.channel.titles == ["has become severe"]


def test_what_waited_about_an_incident_for_a_channel_is_one_message_that_is_not_lost(desk, incident):
    desk.put("anomalous", reason="opened", incident_id=incident)
    desk.channel.is_down = True
    assert desk.deliver().failures == 1
    desk.put("has become worse", reason="worse", incident_id=incident)
    assert desk.deliver(MINUTE).failures == 1
    assert desk.rows("attempts", "state") == [(2, "pending"), (1, "pending")]
    desk.channel.is_down = False
    assert desk.deliver(HOUR).alerts == 2
    assert desk.channel.titles == ["has become worse"]


def test_a_raised_limit_releases_held_back_alerts_before_later_ones(desk):
    desk.put("a", "b")
    assert desk.deliver(per_hour=2).messages == 2
    desk.put("held 1", "held 2")
    assert desk.deliver(MINUTE, per_hour=2).messages == 0
    desk.put("later")
    report = desk.deliver(MINUTE, per_hour=10)
    assert (report.messages, report.alerts) == (1, 3)
    assert "held 1" in desk.channel.bodies[-1].splitlines()[0]
    desk.put("new")
    assert desk.deliver(MINUTE, per_hour=3).messages == 0  # a lowered one counts as well
    assert desk.deliver(MINUTE, per_hour=10).messages == 1


def test_a_raised_limit_does_not_shorten_the_pause_of_a_failed_alert(desk):
    desk.put("failed")
    desk.channel.is_down = True
    assert desk.deliver(per_hour=1).failures == 1
    desk.channel.is_down = False
    assert desk.deliver(29 * SECOND, per_hour=10).messages == 0
    assert desk.deliver(SECOND, per_hour=10).messages == 1


def test_a_crash_after_sending_repeats_one_message(desk):
    desk.put("first", "second")

    def crash(_address, message):
        desk.channel.sent.append(("", message.title))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver_alerts(desk.store.outbox, OPS, 20, lambda: desk.now, crash)
    assert desk.deliver(MINUTE).messages == 1  # the lease of the first still runs
    assert desk.deliver(10 * MINUTE).messages == 1
    assert desk.channel.titles == ["first", "second", "first"]
    assert desk.deliver(HOUR).messages == 0


def test_two_workers_do_not_send_the_same_alert(desk):
    desk.put("first", "second")
    seen = []

    def send(_address, message):
        if not seen:
            seen.append(message.title)
            assert desk.deliver(SECOND).messages == 1
        else:
            seen.append(message.title)

    assert deliver_alerts(desk.store.outbox, OPS, 20, lambda: desk.now, send).messages == 1
    assert (seen, desk.channel.titles) == (["first"], ["second"])


def test_a_message_under_way_counts_for_the_hour(desk):
    desk.put("first", "second")
    lease = 5 * MINUTE
    assert desk.store.outbox.claim("ops", 2, desk.now, lease).messages[0].title == "first"
    assert desk.store.outbox.claim("ops", 1, desk.now, lease) is None


def test_workers_at_the_same_time_keep_the_rate_together(desk):
    desk.put(*(f"alert {n}" for n in range(12)))
    channel, start = Channel(), threading.Barrier(4)

    def work():
        start.wait()
        deliver_alerts(open_store(desk.store.engine).outbox, OPS, 5, lambda: desk.now, channel)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(channel.sent) == 5
    assert {state for (state,) in desk.rows("state")} == {"sent"}


def test_an_event_is_alerted_once_to_each_channel_in_its_own_words(desk):
    row = {"monitor": "pump", "entity": "pump\n3", "kind": "too_late", "at": desk.now, "message": "2 records."}
    with writing(desk.store.engine) as connection:
        event_id = connection.execute(insert(events).values(row).returning(events.c.id)).scalar_one()
        for channels in (["ops"], ["ops", "night"]):
            add_event_alerts(connection, event_id, channels, ALERT_TEXTS, desk.now)
    assert desk.rows("channel", "reason", "event_id", "title") == [
        ("ops", "event", event_id, "pump, pump 3: too late"),
        ("night", "event", event_id, "pump, pump 3: too late"),
    ]


@pytest.fixture
def server():
    with receiving() as server:
        yield server


def test_an_alert_arrives_over_the_wire(desk, server):
    desk.put("pump-3 <b>&amp; {x}: é")
    report = deliver_alerts(desk.store.outbox, {"ops": SecretStr(server.address)}, 20, lambda: desk.now)
    assert report.messages == 1
    assert [(body["title"], body["message"]) for body in server.received] == [("pump-3 <b>&amp; {x}: é", "b")]


def test_a_channel_that_answers_with_an_error_is_a_failure_that_leaks_nothing(desk, server, caplog, capfd):
    server.status = 500
    desk.put("first")
    assert deliver_alerts(desk.store.outbox, {"ops": SecretStr(server.address)}, 20, lambda: desk.now).failures == 1
    assert deliver_alerts(desk.store.outbox, {"ops": OPS["ops"]}, 20, lambda: desk.now + MINUTE).failures == 1
    assert desk.rows("state", "attempts") == [("pending", 2)]
    (error,) = desk.rows("error")[0]
    assert "did not accept the message" in error
    everything = error + caplog.text + "".join(capfd.readouterr())
    assert not {secret for secret in ("hunter2", "path-of-secrets", "nobody") if secret in everything}


@pytest.mark.parametrize("address", ["hunter2", "nonsense://hunter2@x", "slack://hunter2", "", "json://["])
def test_a_wrong_address_is_reported_without_it(address, capfd, caplog):
    with pytest.raises(ConfigError, match="does not recognise this address") as caught:
        send_message(SecretStr(address), Message("title", "body"))
    assert "hunter2" not in str(caught.value) + caplog.text + "".join(capfd.readouterr())


def test_an_address_is_checked_without_sending(server):
    check_address(SecretStr(server.address))
    assert server.received == []
    with pytest.raises(ConfigError, match="does not recognise this address"):
        check_address(SecretStr("nonsense://hunter2@x"))


def test_a_test_message_shows_that_alerts_arrive(now, server):
    send_test({"ops": SecretStr(server.address)}, "ops", now)
    (body,) = server.received
    assert (body["title"], "2026-03-01 12:30:00" in body["message"]) == ("Plumbline: a test message", True)
    with pytest.raises(ConfigError, match=r"no channel 'day'. The channels of \[alerts\] are: ops."):
        send_test(OPS, "day", now)
