"""Pages and paths of settings, maintenance windows, keys and channels: rights and effects."""

import asyncio
import json
import re
import threading
from datetime import timedelta

import pandas as pd
import pytest
from pydantic import SecretStr
from sqlalchemy import delete, insert

from jobs.api.pages.incident_picture import picture_version
from jobs.api.previews import Previews
from jobs.databases import writing
from jobs.importing.importing import import_file
from jobs.store import AuditQuery, NewWindow
from jobs.store.api_keys import KeyRights
from schemas.config import Config
from schemas.errors import UsageError
from schemas.tables import api_keys, batch_hours, maintenance_windows, tunings
from tests.alert_receiver import receiving
from tests.api_service import HOSTILE, NOW, trained
from tests.page_client import post, preview, sign_in, text, token_of
from tests.samples import make_records

TUNE = "/page/monitors/pump/tune"
PROPOSED = f"{TUNE}?rate_log=-0.7&severity=5&in_row=2&in_row_of=3&quiet_from=22:00&quiet_until=06:00&days=7"
PAGES = (TUNE, PROPOSED, "/page/maintenance", "/page/monitors/pump/maintenance", "/page/keys", "/page/alerts")


@pytest.fixture(scope="module")
def service(service, tmp_path_factory):
    fill_table(service.store, tmp_path_factory.mktemp("records") / "pump.parquet")
    trained()  # so that no request waits for it
    return service


def fill_table(store, file):
    """Write the watched table, whose records the first batch of the ledger holds."""
    records = make_records(400, seed=7).assign(id=range(1, 401), pump_id=HOSTILE, note="<b>not watched</b>")
    records.loc[200:203, "flow"] = 500.0
    records.loc[1, "pressure"] = 6.6  # flagged at a rate of 0.2 alone
    records["at"] = pd.date_range(end=NOW, periods=400, freq="min")
    records.to_parquet(file)
    import_file(file, store.engine, "pump_readings")
    with writing(store.engine) as connection:
        hour = {"batch_id": 1, "hour": NOW.replace(minute=0), "monitor": "pump", "records": 400, "anomalies": 2}
        connection.execute(insert(batch_hours).values(hour))


@pytest.fixture(autouse=True)
def clean(service):
    yield
    with writing(service.store.engine) as connection:
        for table in (api_keys, tunings, maintenance_windows):
            connection.execute(delete(table))


def bearer(service, scope, monitors=None):
    service.store.api_keys.add(f"{scope} key", KeyRights(scope, monitors), scope * 5, NOW)
    return {"Authorization": f"Bearer {scope * 5}"}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_escapes_texts_and_needs_nothing_of_others(client, service, path):
    service.store.maintenance_windows.add("pump", window(entity=HOSTILE), NOW, HOSTILE)
    html = preview(client, path)
    assert HOSTILE not in html
    assert "<b>not" not in html
    assert not re.search(r"https://|\son\w+=|\sstyle=|<style|<script>", html)


def window(**changes):
    return NewWindow(**{"start_time": NOW, "end_time": NOW + timedelta(hours=1)} | changes)


def test_the_form_shows_settings_in_force_and_computes_nothing(client):
    html = text(client, TUNE)
    assert "press Preview" in html
    assert re.search(r'<output id="rate">1.00%</output>', html)


def test_a_preview_compares_and_offers_lines_and_the_store(client, service):
    html = preview(client, PROPOSED)
    assert "false_positive_rate = 0.2" in html
    assert "consecutive = { records = 2, of = 3 }" in html
    flagged = re.search(r'flagged records</th><td class="number">(\d+)</td><td class="number"><b>(\d+)</b>', html)
    assert 0 < int(flagged[1]) < int(flagged[2])
    settings = json.loads(re.search(r'name="settings" value="(.*?)"', html)[1].replace("&#34;", '"'))
    post(client, TUNE, {"token": token_of(html), "settings": json.dumps(settings)})
    assert service.settings("pump").false_positive_rate == 0.2
    assert service.settings("pump").alert.quiet_hours == "22:00-06:00"
    assert "Stored settings are in force" in text(client, TUNE)
    assert ">stored</a>" in text(client, "/")
    post(client, f"{TUNE}/clear", {"token": token_of(text(client, TUNE))})
    assert service.settings("pump").false_positive_rate == 0.01
    assert [act.action for act in service.store.audit.page(AuditQuery("pump", limit=2))] == ["clear tuning", "tune"]


def test_a_severity_keeps_all_its_digits_in_the_form(client):
    html = preview(client, f"{TUNE}?severity=33.3333333&escalate_severity=80")
    assert 'name="severity" min="0" max="100" step="any" value="33.3333333"' in html
    assert 'name="escalate_severity" min="0" max="100" step="any" value="80"' in html


def test_the_page_comes_before_its_preview_and_asks_again(client, service, monkeypatch):
    path, is_free, read = f"{TUNE}?records=3", threading.Event(), service.open_source
    monkeypatch.setattr(service, "open_source", lambda monitor: is_free.wait() and read(monitor))
    try:
        html = text(client, path)
    finally:
        is_free.set()
    assert re.search(r'aria-busy="true" hx-get="/page/monitors/pump/tune\?records=3"', html)
    assert '<noscript><meta http-equiv="refresh"' in html
    assert "Now and as proposed" in preview(client, path)


def test_a_preview_whose_page_was_closed_is_not_shown_later_as_new(service, monkeypatch):
    previews, is_free, computed = Previews(), threading.Event(), []

    async def ask(key):
        def refuse():
            is_free.wait()
            computed.append(key)
            raise UsageError(key)

        return await previews.begin(key, service, "pump", refuse, 7)

    async def ask_until_refused(key):
        while True:
            await ask(key)

    async def result(key):
        with pytest.raises(UsageError, match=key):
            await ask_until_refused(key)

    async def visits():
        await ask("closed")
        is_free.set()
        await result("next")  # computed after it
        monkeypatch.setattr(service, "clock", lambda: NOW + timedelta(hours=1))
        await result("closed")

    asyncio.run(visits())
    assert computed == ["closed", "next", "closed"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("rate_log=x", "not a number"),
        ("rate_log=-4.9", "calibration records"),
        ("severity=500", "less than or equal to 100"),
        ("quiet_from=22:00&quiet_until=", "Fill both, or neither"),
        ("direction.flow=sideways", "up"),
    ],
)
def test_a_setting_that_is_not_possible_is_stated_on_the_page(client, query, message):
    html = preview(client, f"{TUNE}?records=1&{query}")
    assert message in re.search(r'role="alert">(.*?)</p>', html)[1]


@pytest.mark.parametrize(("scope", "status"), [("read", 403), ("operate", 403), ("write", 403), ("admin", 200)])
def test_only_an_admin_stores_settings_and_manages_keys(client, service, scope, status):
    headers = bearer(service, scope)
    assert client.post("/monitors/pump/tuning", {"alert": {"severity": 7}}, **headers).status == status
    assert client.post("/keys", {"name": "new"}, **headers).status == status
    assert client.get("/keys", **headers).status == status
    _, session = sign_in(client, scope * 5)
    assert client.get("/page/keys", **session).status == status
    assert ("Store and use" in preview(client, PROPOSED, **session)) == (status == 200)


def test_an_admin_of_one_monitor_tunes_it_and_manages_no_key(client, service):
    headers = bearer(service, "admin", ["pump"])
    assert client.post("/monitors/pump/tuning", {"alert": {"severity": 7}}, **headers).status == 200
    assert client.post("/monitors/boiler/tuning", {"alert": {"severity": 7}}, **headers).status == 404
    assert client.post("/keys", {"name": "wider"}, **headers).status == 403
    window_id = service.store.maintenance_windows.add("boiler", window(), NOW, "user")
    assert client.send("DELETE", f"/maintenance/{window_id}", headers=headers).status == 404


def test_a_length_of_thousands_of_digits_is_the_usual_one(client):
    assert '<option value="7" selected>' in text(client, f"{TUNE}?days={'9' * 5000}")


@pytest.mark.parametrize(
    ("sent", "status"), [("{}", 409), ('{"alert": {"ignore_below": {"flow": Infinity}}}', 422), ('{"flow": 1}', 422)]
)
def test_settings_that_cannot_be_stored_are_refused(client, service, sent, status):
    headers = {"Content-Type": "application/json"}
    assert client.send("POST", "/monitors/pump/tuning", sent.encode(), headers).status == status
    assert service.store.tunings.get("pump") is None


def test_a_picture_is_drawn_again_once_the_rate_changes(service):
    incident = service.store.incidents.get(1)
    before = picture_version(service, incident)
    service.store.tunings.put("pump", {"false_positive_rate": 0.2}, NOW, "user ada")
    assert picture_version(service, incident) != before


def test_settings_of_a_later_version_are_shown_with_the_way_out(client, service):
    service.store.tunings.put("pump", {"mood": "good"}, NOW, "user ada")
    assert "To remove them: plumbline tune clear pump" in client.get("/monitors/pump/tuning").json["lines"]


def test_the_api_previews_stores_and_removes_settings(client, service):
    sent = {"tuning": {"false_positive_rate": 0.2}, "days": 7}
    previewed = client.post("/monitors/pump/tuning/preview", sent).json
    comparison = previewed["comparison"]
    assert comparison["proposed"]["flagged"] > comparison["now"]["flagged"] > 0
    assert previewed["lines"] == "[monitors.pump]\nfalse_positive_rate = 0.2"
    assert service.store.tunings.get("pump") is None
    client.post("/monitors/pump/tuning", sent["tuning"])
    assert client.get("/monitors/pump/tuning").json["settings"] == sent["tuning"]
    assert client.get("/monitors/pump").json["false_positive_rate"] == 0.2
    assert client.send("DELETE", "/monitors/pump/tuning").json["settings"] == {}
    assert client.post("/monitors/pump/tuning", {"alert": {"direction": {"mode": "up"}}}).status == 409


def test_a_window_is_added_and_ended_on_the_page(client, service):
    token = token_of(text(client, "/page/maintenance"))
    sent = {
        "token": token,
        "monitor": "pump",
        "start": "2026-03-01T12:00",
        "length": "1h 30m",
        "reason": "new bearings",
    }
    assert post(client, "/page/maintenance", sent).headers["location"] == "/page/monitors/pump/maintenance"
    (stored,) = service.store.maintenance_windows.of("pump")
    assert stored.end_time - stored.start_time == timedelta(minutes=90)
    html = text(client, "/page/monitors/pump/maintenance")
    assert "new bearings" in html
    assert "End now" in html
    post(client, f"/page/maintenance/{stored.id}/end", {"token": token})
    assert service.store.maintenance_windows.get(stored.id).end_time == NOW


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"length": "long"}, 404), ({"length": "0s"}, 404), ({"start": "soon"}, 404), ({"monitor": "none"}, 404)],
)
def test_a_wrong_window_is_refused(client, service, fields, status):
    token = token_of(text(client, "/page/maintenance"))
    sent = {"token": token, "monitor": "pump", "start": "", "length": "1h"} | fields
    assert post(client, "/page/maintenance", sent).status == status
    assert service.store.maintenance_windows.of("pump") == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [({"minutes": 1, "start_time": "0001-01-01"}, 409), ({"minutes": 527_040, "start_time": "9998-12-31"}, 409)],
)
def test_a_window_beyond_the_calendar_is_refused(client, service, sent, status):
    assert client.post("/monitors/pump/maintenance", sent).status == status
    with pytest.raises(UsageError, match="more than 255 characters"):
        service.store.maintenance_windows.add("pump", window(entity="x" * 256), NOW, "user ada")
    assert service.store.maintenance_windows.of("pump") == []


def test_a_key_is_shown_once_and_revoked(client, service):
    answer = post(
        client, "/page/keys", {"token": token_of(text(client, "/page/keys")), "name": "boss", "scope": "admin"}
    )
    secret = re.search(r"<pre>(.*?)</pre>", answer.body.decode())[1]
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    _, session = sign_in(client, secret)
    html = text(client, "/page/keys", **session)
    assert secret not in html
    post(client, "/page/keys/revoke", {"token": token_of(html), "name": "boss"}, **session)
    assert client.get("/page/keys", **session).status == 303


def test_a_channel_is_tested(client, service, monkeypatch):
    with receiving() as server:
        alerts = service.config.alerts.model_copy(update={"channels": {"ops": SecretStr(server.address)}})
        monkeypatch.setattr(service, "config", Config(monitors=service.config.monitors, alerts=alerts))
        token = token_of(text(client, "/page/alerts"))
        answer = post(client, "/page/alerts/test", {"token": token, "channel": "ops"})
        assert "accepted a test message" in text(client, answer.headers["location"])
        assert client.post("/channels/ops/test", {}).json == {"channel": "ops", "sent": True}
        server.status = 500
        assert client.post("/channels/ops/test", {}).status == 409
    assert client.post("/channels/none/test", {}).status == 404
    assert len(server.received) >= 2


def test_a_table_that_is_not_there_is_stated_without_details(client, service, monkeypatch):
    gone = service.config.monitors["pump"].model_copy(update={"table": "elsewhere"})
    monkeypatch.setattr(service, "config", service.config.model_copy(update={"monitors": {"pump": gone}}))
    html = preview(client, f"{TUNE}?records=2")
    assert "The table of monitor &#39;pump&#39; cannot be read" in html
    assert "api_keys" not in html
