"""Responses of the API over HTTP, to valid and to hostile requests."""

import json
from urllib.parse import quote

import pytest

from tests.api_service import HOSTILE, JSON, MANIFEST, RECORD, module_url, opened_service, serving
from tests.samples import make_records


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory):
    """A service that the tests of this module do not change."""
    with module_url(request, tmp_path_factory) as url, opened_service(url, max_body_bytes=4096, max_records=3) as made:
        yield made


@pytest.fixture(scope="module")
def client(service):
    with serving(service) as client:
        yield client


def test_monitors_are_listed_and_shown_with_their_status(client):
    assert [monitor["name"] for monitor in client.get("/monitors").json] == ["pump", "boiler"]
    shown = client.get("/monitors/pump").json
    assert shown["features"]["categorical"] == ["mode"]
    assert (shown["status"]["champion_id"], shown["status"]["pending_batches"]) == (1, 1)


def test_a_model_is_shown_with_its_card(client):
    (model,) = client.get("/monitors/pump/models").json["items"]
    shown = client.get(f"/models/{model['id']}").json
    assert (shown["state"], shown["card_markdown"], shown["manifest"]) == ("champion", "# Card", MANIFEST)
    assert "artifact" not in shown


def test_anomalies_are_paged_newest_first_to_the_end(client):
    first = client.get("/anomalies?limit=1&current=false").json
    second = client.get(f"/anomalies?limit=2&current=false&before={first['next']}").json
    assert [row["record_key"] for row in first["items"] + second["items"]] == ["3", "2", "1"]
    assert client.get(f"/anomalies?limit=2&before={second['next']}").json == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", ["2", "1"]),
        ("current=false&entity=b", ["3", "2"]),
        ("label=false_positive", ["1"]),
        ("monitor=boiler", []),
        ("since=2026-03-01T13:30:00%2B01:00", ["1"]),
        ("until=2026-03-01T12:30:00", []),
        ("since=0001-01-01T00:00:00%2B23:59", ["1"]),
        ("incident=1", ["2"]),
    ],
)
def test_filters_restrict_anomalies(client, query, keys):
    assert [row["record_key"] for row in client.get(f"/anomalies?{query}").json["items"]] == keys


def test_anomalies_have_both_vae_scores_or_null(client):
    numbers = [(row["reconstruction_error"], row["elbo"]) for row in client.get("/anomalies").json["items"]]
    assert numbers == [(2.5, -1.5), (None, None)]
    assert client.get("/anomalies/2").json["elbo"] == -1.5
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    for schema in ("StoredAnomaly", "RecordScore"):
        assert {"reconstruction_error", "elbo"} <= set(schemas[schema]["required"])


def test_hostile_names_are_only_values(client):
    (row,) = client.get(f"/anomalies?entity={quote(HOSTILE)}").json["items"]
    assert (row["entity"], row["attribution"][0]["value"]) == (HOSTILE, None)
    (incident,) = client.get(f"/incidents?entity={quote(HOSTILE)}").json["items"]
    assert incident["entity"] == HOSTILE
    assert client.get(f"/monitors/{quote(HOSTILE, safe='')}").status == 404
    assert client.get("/anomalies?entity=a%00b").status == 422


def test_merged_incidents_are_excluded_by_default(client):
    assert [row["id"] for row in client.get("/incidents").json["items"]] == [1]
    assert [row["id"] for row in client.get("/incidents?current=false").json["items"]] == [2, 1]
    assert client.get("/incidents/2").json["merged_into"] == 1


def test_events_are_filtered_by_kind(client):
    assert [row["kind"] for row in client.get("/events").json["items"]] == ["config_refused", "gap"]
    assert [row["message"] for row in client.get("/events?kind=gap").json["items"]] == ["silent"]


def test_submitted_records_are_scored_as_by_the_scorer_and_nothing_is_stored(client, service):
    before = client.get("/monitors/pump").json
    records = make_records(3, seed=5)
    sent = json.loads(records.to_json(orient="records", date_format="iso"))
    answer = client.post("/monitors/pump/score", {"records": sent, "top_features": 2}).json
    scored = service.scorer_for("pump")[1].score(records, "all")
    assert [row["anomaly_score"] for row in answer["scores"]] == scored["anomaly_score"].tolist()
    assert [row["is_anomaly"] for row in answer["scores"]] == scored["is_anomaly"].tolist()
    for name in ("reconstruction_error", "elbo"):
        assert [row[name] for row in answer["scores"]] == scored[name].tolist()
    assert [len(row["attribution"]) for row in answer["scores"]] == [2, 2, 2]
    assert client.get("/monitors/pump").json == before


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("load", "1", "Expected a finite number or null, received '1'."),
        ("load", True, "Expected a finite number or null, received True."),
        ("flow", float("nan"), "Expected a finite number or null, received nan."),
        ("flow", 10**400, "Expected a finite number or null, received 1" + "0" * 79 + "...."),
        ("is_open", 1, "Expected true, false or null, received 1."),
        ("mode", ["high"], "Expected a text, a whole number or null, received ['high']."),
        ("mode", "\ud800", "Expected a text, a whole number or null, received '\\ud800'."),
        ("read_at", "yesterday", "Expected a time such as 2026-03-01T12:30:00Z or null, received 'yesterday'."),
        ("read_at", 5, "Expected a time such as 2026-03-01T12:30:00Z or null, received 5."),
    ],
)
def test_an_invalid_value_is_reported_with_record_and_column(client, column, value, message):
    answer = client.post("/monitors/pump/score", {"records": [RECORD, RECORD | {column: value}]})
    fault = {"place": f"body.records[1].{column}", "message": message, "record": 1, "column": column}
    assert (answer.status, answer.json["errors"]) == (422, [fault])


def test_a_missing_feature_is_an_error_and_other_columns_are_ignored(client):
    partial = {name: value for name, value in RECORD.items() if name != "mode"}
    answer = client.post("/monitors/pump/score", {"records": [RECORD | {"id": 7, "note": [1]}, partial]})
    assert [(fault["record"], fault["column"]) for fault in answer.json["errors"]] == [(1, "mode")]


def test_too_many_records_and_a_monitor_without_model_are_refused(client):
    assert client.post("/monitors/pump/score", {"records": [RECORD] * 4}).status == 413
    answer = client.post("/monitors/boiler/score", {"records": [{"heat": 1}]})
    assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")
    assert "has no champion model yet" in answer.json["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_whether_its_length_is_announced_or_not(client, chunked):
    body = iter([b'{"reason": "', b"x" * 5000, b'"}']) if chunked else b" " * 5000
    answer = client.send("POST", "/monitors/pump/retrain", body, JSON, encode_chunked=chunked)
    assert (answer.status, "max_body_bytes" in answer.json["detail"]) == (413, True)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe\x00", b"[" * 4000, b'{"label": "open"', b"9" * 4000])
def test_a_body_that_is_not_json_is_a_client_error(client, body):
    answer = client.send("POST", "/anomalies/1/label", body, JSON)
    assert (answer.status, answer.json["title"]) in {(400, "Bad Request"), (422, "Unprocessable Entity")}


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_that_a_form_on_another_site_can_send_is_refused(client, media_type):
    answer = client.send("POST", "/monitors/pump/retrain", b'{"reason": "x"}', {"Content-Type": media_type})
    assert answer.status == 415


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8321", "localhost.evil.example", "127.0.0.1.nip.io", ""]
)
def test_a_rebound_host_name_is_refused_while_there_is_no_key(client, host):
    assert client.get("/anomalies", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost:8321", "LOCALHOST", "127.0.0.1", "127.1.2.3:1", "[::1]:8321"])
def test_this_machine_is_admitted_while_there_is_no_key(client, host):
    assert client.get("/anomalies", Host=host).status == 200


def test_every_response_has_the_security_headers(client):
    for answer in (client.get("/healthz"), client.get("/nowhere"), client.send("PUT", "/monitors")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_an_unsupported_method_is_405(client):
    answer = client.send("PUT", "/monitors")
    assert (answer.status, answer.headers["allow"], answer.json["title"]) == (405, "GET", "Method Not Allowed")
