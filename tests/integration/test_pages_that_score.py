"""Pages that read a watched table and score on demand: the row of a flagged record, and the map of a model."""

import re
from html import unescape
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from jobs.databases import writing
from tests.api_service import RECORD
from tests.samples import make_records

CREATE = (
    "CREATE TABLE pump_readings (id INTEGER PRIMARY KEY, at TIMESTAMP, pump_id VARCHAR(20), load FLOAT, flow FLOAT,"
    " pressure FLOAT, is_open BOOLEAN, mode VARCHAR(20), read_at TIMESTAMP, note VARCHAR(400))"
)
INSERT = (
    "INSERT INTO pump_readings VALUES (1, '2026-01-05 00:00:00', 'b', 0.1, 51, NULL, TRUE, 'high',"
    " '2026-01-05 00:00:00', :note)"
)
PATH = "/page/records/1/row"


@pytest.fixture(scope="module")
def service(service):
    with writing(service.store.ledger.engine) as connection:
        connection.execute(text(CREATE))
        connection.execute(text(INSERT), {"note": "<b>" + "x" * 300})
    return service


def shown(client, **edits):
    answer = client.get(f"{PATH}?{urlencode({f'cell:{name}': value for name, value in edits.items()})}")
    return answer.status, answer.body.decode()


def numbers(html, name):
    (row,) = re.findall(rf'<th scope="row">{name}</th>(.*?)</tr>', html)
    return [float(number) for number in re.findall(r">([\d.e-]+)</td>", row)]


def test_other_values_get_the_score_that_the_api_gives_them(client):
    api = client.post("/monitors/pump/score", {"records": [RECORD, RECORD | {"flow": 90.5, "mode": "low"}]}).json
    status, html = shown(client, flow="90.5", mode="low", load="0.1")
    assert status == 200
    expected = [score["anomaly_score"] for score in api["scores"]]
    assert numbers(html, "anomaly score") == pytest.approx(expected, rel=1e-3)  # as shown to people
    assert "Causes of the edited values" in html


def test_the_row_has_every_column_escaped_and_cut(client):
    _, html = shown(client)
    assert "<dt>note</dt><dd>&lt;b&gt;xxx" in html
    assert "x" * 250 not in html
    assert "edited values</th>" not in html


def test_values_that_do_not_fit_are_named_and_kept_in_the_form(client):
    status, html = shown(client, flow="much", is_open="perhaps", read_at="yesterday")
    assert status == 422
    assert re.findall(r'role="alert">(\w+): Expected', html) == ["flow", "is_open", "read_at"]
    assert 'value="much"' in html


def test_a_cell_can_become_null(client):
    _, html = shown(client, load="")
    assert len(numbers(html, "anomaly score")) == 2


def test_normal_records_next_to_it_are_those_of_the_training(client):
    _, html = shown(client)
    (row,) = re.findall(r'<th scope="row">mode</th>(.*?)</tr>', html, re.DOTALL)
    known = set(make_records(600)["mode"])
    assert len(re.findall(r'<td class="number[^>]*>(\w+)</td>', row)) == 6
    assert set(re.findall(r'<td class="number[^>]*>(\w+)</td>', row)) <= known


def test_a_text_that_a_field_cannot_hold_stays_as_recorded(client, service):
    rename = text("UPDATE pump_readings SET mode = :mode")
    with writing(service.store.ledger.engine) as connection:
        connection.execute(rename, {"mode": "hi\u00a0\ngh"})
    _, html = shown(client)
    sent = unescape(re.search(r'name="cell:mode" value="(.*?)"', html)[1])
    _, html = shown(client, mode=sent)
    with writing(service.store.ledger.engine) as connection:
        connection.execute(rename, {"mode": "high"})
    assert "edited values</th>" not in html


def test_a_row_that_is_gone_is_reported(client):
    answer = client.get("/page/records/2/row")
    assert answer.status == 404
    assert "Record 2 is no longer in the table" in answer.body.decode()


def test_what_if_stores_nothing(client, service):
    before = service.store.anomalies.get(1)
    shown(client, flow="90")
    assert service.store.anomalies.get(1) == before


def test_a_map_has_the_newest_records_and_links_the_flagged_ones(client):
    html = client.get("/page/models/1/map").body.decode()
    assert 'aria-label="Map of 1 records"' in html
    assert html.count('class="reference"') == 400
    assert 'href="/page/records/1" aria-label="Record 1"' in html
    assert 'class="synthetic"' not in html
    assert client.get("/page/models/1/map?synthetic=true").body.decode().count('class="synthetic"') == 200


def test_the_api_has_the_records_around_an_incident(client):
    shown = client.get("/incidents/2/channels").json
    assert (shown["times"], shown["channels"], len(shown["scores"])) == (["2026-01-05T00:00:00Z"], [], 1)


def test_only_a_champion_has_a_map(client, service):
    with writing(service.store.ledger.engine) as connection:
        connection.execute(text("UPDATE models SET state = 'retired'"))
    try:
        assert "/page/models/1/map" not in client.get("/page/models/1").body.decode()
    finally:
        with writing(service.store.ledger.engine) as connection:
            connection.execute(text("UPDATE models SET state = 'champion'"))
    assert "/page/models/1/map" in client.get("/page/models/1").body.decode()
