"""The operator's pages over HTTP: what they show, who may change what, and that nothing else can run in them."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, insert, select, update

from jobs.databases import writing
from jobs.store import RequestQuery
from jobs.store.api_keys import KeyRights
from schemas.errors import StoreError
from schemas.tables import api_keys, incidents, models
from tests.api_service import HOSTILE, MANIFEST, NOW, opened_service, serving
from tests.chaos.waiting import until
from tests.page_client import post, sign_in, text, token_of

PAGES = (
    "/",
    "/page/monitors/pump?days=7&by=cause",
    "/page/monitors/boiler",
    "/page/monitors/pump/models",
    "/page/incidents/1",
    "/page/incidents/2",
    "/page/records/1",
    "/page/events",
    "/page/alerts",
    "/page/models/1",
    "/page/login",
)


@pytest.fixture
def keys(service):
    """Keys of a reader and a writer, which later tests do not find."""
    service.store.api_keys.add("reader", "read", "r" * 20, NOW)
    service.store.api_keys.add("writer", "write", "w" * 20, NOW)
    yield service.store.api_keys
    clear_keys(service)


def clear_keys(service):
    with writing(service.store.ledger.engine) as connection:
        connection.execute(delete(api_keys))


def test_the_fleet_shows_monitors_that_need_a_person_first(client):
    html = text(client, "/")
    assert re.findall(r'<h2><a href="/page/monitors/(\w+)">', html) == ["pump", "boiler"]
    assert html.index("needs attention") < html.index("no model")
    assert "gap since 2026-03-01 12:29:00 UTC" in html


def test_the_fleet_names_a_challenger_that_is_newer_than_the_champion(client, service):
    assert "newer than the champion" not in text(client, "/")
    row = {"monitor": "pump", "state": "challenger", "created_at": NOW, "sha256": "ab" * 32, "artifact": b"\0"}
    with writing(service.store.engine) as connection:
        connection.execute(insert(models).values(row | {"id": 7, "manifest": MANIFEST, "card": {}}))
    html = text(client, "/")
    with writing(service.store.engine) as connection:
        connection.execute(delete(models).where(models.c.id == 7))
    assert "model 7 is newer than the champion" in html


def test_a_model_with_an_empty_manifest_has_a_page(client, service):
    row = {"monitor": "pump", "state": "challenger", "created_at": NOW, "sha256": "ab" * 32, "artifact": b"\0"}
    with writing(service.store.engine) as connection:
        connection.execute(insert(models).values(row | {"id": 7, "manifest": {}, "card": {}}))
    html = text(client, "/page/models/7")
    with writing(service.store.engine) as connection:
        connection.execute(delete(models).where(models.c.id == 7))
    assert "<h1>Model 7" in html


def test_lanes_and_list_of_a_monitor_hold_the_same_incidents(client):
    html = text(client, "/page/monitors/pump")
    lanes, _, listed = html.partition("</div>\n<p class=")
    links = [set(re.findall(r'/page/incidents/(\d+)"', part)) for part in (lanes, listed)]
    assert links == [{"1"}, {"1"}]


@pytest.fixture
def many_incidents(service):
    """101 incidents of a monitor, which later tests do not find."""
    peak = {"peak_time": NOW, "peak_score": 9.0, "peak_severity": 60.0, "records": 1, "causes": []}
    row = peak | {"monitor": "boiler", "state": "ended", "opened_at": NOW, "updated_at": NOW, "end_time": NOW}
    with writing(service.store.engine) as connection:
        rows = [row | {"start_time": NOW - timedelta(minutes=minute)} for minute in range(1, 102)]
        connection.execute(insert(incidents), rows)
    yield
    with writing(service.store.engine) as connection:
        connection.execute(delete(incidents).where(incidents.c.monitor == "boiler"))


def test_a_long_list_of_incidents_has_pages_and_the_lanes_hold_all(client, many_incidents):
    pages = [text(client, f"/page/monitors/boiler?list_page={number}") for number in (0, 1)]
    assert [len(re.findall(r'<td><a href="/page/incidents/', html)) for html in pages] == [100, 1]
    assert [html.count('aria-label="Incident ') for html in pages] == [101, 101]
    assert ("older →" in pages[0], "older →" in pages[1], "← newer" in pages[1]) == (True, False, True)
    assert '<span class="name">all records</span>' in pages[0]
    assert '<span class="name">no cause</span>' in text(client, "/page/monitors/boiler?by=cause")


def test_the_alerts_list_incidents_that_are_held_back_with_the_reason(client, service):
    assert "Held back" not in text(client, "/page/alerts")
    of_first = update(incidents).where(incidents.c.id == 1)
    with writing(service.store.engine) as connection:
        connection.execute(of_first.values(held_back="severity"))
    html = text(client, "/page/alerts")
    with writing(service.store.engine) as connection:
        connection.execute(of_first.values(held_back=None))
    assert "its severity is too low" in html.partition("Held back")[2]


def test_one_lane_lists_only_its_incidents(client):
    html = text(client, "/page/monitors/pump?by=cause&lane=pressure")
    assert "/page/incidents/1" not in html.partition("Show all")[2]
    assert "/page/incidents/1" in text(client, "/page/monitors/pump?by=cause&lane=flow").partition("Show all")[2]


def test_an_earlier_span_has_no_incident(client):
    assert "No incident in this span" in text(client, "/page/monitors/pump?days=1&until=2026-02-01T00:00:00Z")


@pytest.mark.parametrize(("since", "is_shown"), [("12:28", True), ("12:30:30", False), ("23:00", True)])
def test_a_span_may_have_a_start_in_place_of_a_length(client, since, is_shown):
    html = text(client, f"/page/monitors/pump?since=2026-03-01T{since}&until=2026-03-01T12:31")
    assert ("/page/incidents/1" in html) == is_shown  # a start past the end does not count


@pytest.mark.parametrize("end", ["0001-01-01", "0001-01-03", "9999-12-31T23:59:59Z"])
def test_a_span_ends_with_the_calendar(client, end):
    assert "No incident in this span" in text(client, f"/page/monitors/pump?days=366&until={end}")


def test_an_incident_shows_its_causes_records_and_alerts(client):
    html = text(client, "/page/incidents/1")
    assert re.search(r'<th scope="row">flow</th>.*50\.5', html)
    assert 'href="/page/records/2"' in html
    assert "opened" in html
    assert re.search(r'<p class="lead">flow of .*: .*[^ ], expected', html, re.DOTALL)


def test_incidents_without_an_entity_have_no_column_for_it(client, service):
    assert "<th>entity</th>" in text(client, "/page/monitors/pump")
    with writing(service.store.engine) as connection:
        before = connection.execute(select(incidents.c.id, incidents.c.entity)).all()
        connection.execute(update(incidents).values(entity=None))
    html = text(client, "/page/monitors/pump")
    with writing(service.store.engine) as connection:
        for row in before:
            connection.execute(update(incidents).where(incidents.c.id == row.id).values(entity=row.entity))
    assert "<th>causes: value (expected)</th>" in html
    assert "<th>entity</th>" not in html


def test_the_bars_of_a_year_have_places_without_separators(client):
    html = text(client, "/page/monitors/pump?days=366")
    assert 'viewBox="0 0 2928' in html
    assert not re.search(r'(x|x1|x2|y|width|height)="\d+,', html)


def test_a_record_shows_its_score_and_causes(client):
    html = text(client, "/page/records/1")
    assert "2.25 times the threshold of 4" in html
    assert "-2.0 sd" in html


def test_a_picture_that_cannot_be_drawn_states_the_reason_without_other_tables(client):
    answer = client.get("/page/incidents/1/light.svg")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert "No picture. " in answer.body.decode()
    assert "api_keys" not in answer.body.decode()
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_pictures_hold_up_no_other_page_and_only_some_wait(client, service, monkeypatch):
    is_free, read = threading.Event(), service.open_source
    monkeypatch.setattr(service, "open_source", lambda monitor: is_free.wait() and read(monitor))
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(client.get, "/page/incidents/1/dark.svg") for _ in range(12)]
        try:
            until(lambda: sum(answer.done() for answer in answers) == 4, "eight pictures wait")
            assert client.get("/page/events").status == 200
            busy = [answer.result().body for answer in answers if answer.done()]
        finally:
            is_free.set()
    assert all(b"8 other requests like this wait" in body for body in busy)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_escapes_texts_and_needs_nothing_of_others(client, path):
    html = text(client, path)
    assert HOSTILE not in html
    assert "https://" not in html
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script>", html)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_permits_no_inline_script_and_no_frame(client, path):
    policy = client.get(path).headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert client.get(path).headers["referrer-policy"] == "same-origin"  # or browsers send forms without their origin


def test_a_label_is_set_by_the_form_of_a_page(client, service):
    token = token_of(text(client, "/page/records/2"))
    answer = post(client, "/page/records/2/label", {"label": "confirmed", "token": token})
    assert (answer.status, answer.headers["location"]) == (303, "/page/records/2")
    assert service.store.anomalies.get(2).label == "confirmed"
    post(client, "/page/incidents/1/label", {"label": "open", "token": token})
    assert service.store.anomalies.get(2).label == "open"


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"label": "known"}, {}, 403),
        ({"label": "known", "token": "0" * 64}, {}, 403),
        ({"label": "known", "token": None}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"label": "known", "token": None}, {"Origin": "http://elsewhere.example"}, 403),
        ({"label": "known", "token": None}, {"Content-Type": "text/plain"}, 415),
        ({"label": "nonsense", "token": None}, {}, 404),
    ],
)
def test_a_form_of_another_site_changes_nothing(client, service, fields, headers, status):
    valid = token_of(text(client, "/page/records/2"))
    sent = {name: value or valid for name, value in fields.items()}
    assert post(client, "/page/records/2/label", sent, **headers).status == status
    assert service.store.anomalies.get(2).label == "open"


def test_a_browser_without_a_key_is_sent_to_the_sign_in_page_and_back(client, keys):
    refused = client.get("/page/incidents/1?x=1")
    assert (refused.status, refused.headers["location"]) == (303, "/page/login?to=%2Fpage%2Fincidents%2F1%3Fx%3D1")
    answer, session = sign_in(client, "r" * 20, "/page/incidents/1?x=1")
    assert (answer.status, answer.headers["location"]) == (303, "/page/incidents/1?x=1")
    assert {"HttpOnly", "SameSite=lax"} <= set(answer.headers["set-cookie"].split("; "))
    assert "Incident 1" in text(client, "/page/incidents/1", **session)
    keys.revoke("reader", NOW)
    assert client.get("/page/incidents/1", **session).status == 303


def test_a_long_address_leads_through_the_sign_in_page(client, keys):
    refused = client.get(f"/page/monitors/pump?lane={'%C3%BC' * 100}")
    assert 'name="to" value="/page/monitors/pump?lane=%C3%BC' in text(client, refused.headers["location"])


def test_cookies_of_other_programs_do_not_end_a_session(client, keys):
    _, session = sign_in(client, "r" * 20)
    cookies = f'other={{"a": "b c"}}; a b; {session["Cookie"]}'
    assert client.get("/page/events", Cookie=cookies).status == 200


def test_the_cookie_of_an_encrypted_site_stays_encrypted(client, keys):
    behind_a_proxy = {"Origin": "https://plumbline.example", "X-Forwarded-Host": "plumbline.example"}
    answer = post(client, "/page/login", {"key": "r" * 20}, **behind_a_proxy)
    assert "Secure" in answer.headers["set-cookie"].split("; ")


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null"])
def test_another_site_signs_nobody_in_also_if_the_browser_sends_only_the_origin(client, keys, origin):
    assert post(client, "/page/login", {"key": "r" * 20}, Origin=origin).status == 403
    own = f"http://127.0.0.1:{client.port}"
    assert post(client, "/page/login", {"key": "r" * 20}, Origin=own).status == 303


def test_a_wrong_key_is_refused(client, keys):
    answer, _ = sign_in(client, "nonsense")
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("to", ["https://elsewhere.example/", "//elsewhere.example/page/", "/anomalies", "page/x"])
def test_signing_in_leads_to_pages_alone(client, keys, to):
    assert sign_in(client, "r" * 20, to)[0].headers["location"] == "/"


def test_a_key_of_scope_read_sees_no_form_and_changes_nothing(client, service, keys):
    _, reader = sign_in(client, "r" * 20)
    _, writer = sign_in(client, "w" * 20)
    assert 'name="token"' not in text(client, "/page/records/2", **reader)
    token = token_of(text(client, "/page/records/2", **writer))
    for session in (reader, {}):
        post(client, "/page/records/2/label", {"label": "known", "token": token}, **session)
    assert service.store.anomalies.get(2).label == "open"


def test_a_key_of_one_monitor_sees_nothing_of_the_others(client, keys):
    keys.add("boiler", KeyRights("write", ("boiler",)), "b" * 20, NOW)
    _, session = sign_in(client, "b" * 20)
    assert re.findall(r'<h2><a href="/page/monitors/(\w+)">', text(client, "/", **session)) == ["boiler"]
    hidden = ("monitors/pump", "incidents/1", "incidents/1/light.svg", "records/1", "models/1", "monitors/pump/models")
    assert {client.get(f"/page/{path}", **session).status for path in hidden} == {404}
    assert "pump" not in text(client, "/page/events", **session) + text(client, "/page/alerts", **session)


def test_the_cookie_opens_pages_but_not_the_api(client, keys):
    _, session = sign_in(client, "w" * 20)
    assert client.get("/anomalies", **session).status == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [("/page/incidents/99", 404), ("/page/incidents/x", 422), ("/page/monitors/none", 404), ("/page/nowhere", 404)],
)
def test_an_error_is_a_page(client, path, status):
    answer = client.get(path)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert 'role="alert"' in answer.body.decode()


def test_an_unexpected_error_is_a_page(client, service, monkeypatch):
    monkeypatch.setattr(service, "clock", lambda: 1 / 0)
    answer = client.get("/")
    assert (answer.status, "Its log has the reason" in answer.body.decode()) == (500, True)


def test_without_a_store_a_browser_receives_a_page(client, service, monkeypatch):
    def away():
        raise StoreError("The database is away.")

    monkeypatch.setattr(service.store.api_keys, "all", away)
    answer = client.get("/page/events")
    assert (answer.status, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert (client.get("/events").status, client.get("/page/login").status) == (503, 200)


def test_a_training_is_requested_from_the_page_of_a_monitor(client, service):
    token = token_of(text(client, "/page/monitors/pump"))
    post(client, "/page/monitors/pump/retrain", {"reason": "new bearings", "token": token})
    assert "new bearings" in text(client, "/page/monitors/pump")


@pytest.mark.parametrize("reason", ["x" * 256, "a\0b"])
def test_a_reason_that_the_store_cannot_hold_is_refused(client, service, reason):
    token = token_of(text(client, "/page/monitors/pump"))
    requests = service.store.requests.page(RequestQuery(monitor="pump"))
    assert post(client, "/page/monitors/pump/retrain", {"reason": reason, "token": token}).status == 422
    assert service.store.requests.page(RequestQuery(monitor="pump")) == requests


def test_without_pages_their_paths_do_not_exist(tmp_path):
    with opened_service(SecretStr(f"sqlite:///{tmp_path / 'p.db'}"), page=False) as service, serving(service) as client:
        assert [client.get(path).status for path in ("/", "/page/events", "/page/login")] == [404, 404, 404]


def test_files_of_pages_are_kept_for_good_under_the_hash_of_their_content(client):
    html = text(client, "/page/events")
    for path in re.findall(r'(?:href|src)="(/page/static/[^"]+)"', html):
        kept, other = client.get(path), client.get(path.partition("?")[0])
        assert "immutable" in kept.headers["cache-control"]
        assert (other.headers["cache-control"], other.body) == ("no-cache", kept.body)
    assert client.get("/page/static/nothing.css").status == 404
