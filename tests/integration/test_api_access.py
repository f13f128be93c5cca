"""Who may call the API and change what, and how the server starts, fails and stops."""

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete

from jobs.api import ApiServer, body_limit, server
from jobs.api import scoring as adhoc
from jobs.databases import writing
from jobs.store import RequestQuery, migrations
from jobs.store.api_keys import KeyRights
from schemas.errors import ConfigError
from schemas.tables import api_keys
from tests.api_service import NOW, RECORD, Client, opened_service, serving
from tests.chaos.waiting import until

SECRET = "a secret"


@pytest.fixture
def service(database_url):
    with opened_service(database_url) as service:
        yield service


@pytest.fixture
def client(service):
    with serving(service) as client:
        yield client


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def test_an_anomaly_is_labelled(client):
    answer = client.post("/anomalies/1/label", {"label": "confirmed"})
    assert (answer.status, answer.json["label"], answer.json["labelled_at"]) == (
        200,
        "confirmed",
        "2026-03-01T12:30:00Z",
    )
    assert client.get("/anomalies/1").json["label"] == "confirmed"


def test_labelling_an_incident_labels_its_anomalies(client):
    assert client.post("/incidents/1/label", {"label": "known"}).json == {"id": 1, "label": "known", "records": 1}
    assert client.get("/anomalies/2").json["label"] == "known"
    assert client.post("/incidents/2/label", {"label": "known"}).status == 409


def test_a_retraining_is_requested(client, service):

    answer = client.post("/monitors/pump/retrain", {"reason": "new pumps"})
    assert (answer.status, answer.json["state"]) == (202, "pending")
    newest = service.store.requests.page(RequestQuery(limit=1))[0]
    assert (newest.id, newest.reason, newest.requested_at) == (answer.json["id"], "new pumps", NOW)


def test_with_a_key_every_path_except_health_requires_one(client, service):
    service.store.api_keys.add("board", "read", SECRET, NOW)
    paths = ["/monitors", "/metrics", "/openapi.json", "/nowhere"]
    refused = [client.get(path) for path in paths] + [client.get("/monitors", **bearer("other"))]
    assert {answer.status for answer in refused} == {401}
    assert {answer.headers["www-authenticate"] for answer in refused} == {"Bearer"}
    assert [client.get(path).status for path in ("/healthz", "/readyz")] == [200, 200]
    assert [client.get(path, **bearer(SECRET)).status for path in paths] == [200, 200, 200, 404]
    assert client.get("/monitors", Host="plumbline.example", **bearer(SECRET)).status == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_without_a_key_the_clients_of_a_proxy_on_this_machine_are_refused(client, service, header):
    through_a_proxy = {header: "for=198.51.100.7"}
    assert client.get("/monitors", **through_a_proxy).status == 401
    assert client.post("/keys", {"name": "boss", "scope": "admin"}, **through_a_proxy).status == 401
    assert client.get("/", **through_a_proxy).headers["location"].startswith("/page/login")
    assert service.store.api_keys.all() == []
    assert client.get("/healthz", **through_a_proxy).status == client.get("/monitors").status == 200


def test_a_read_key_cannot_change_anything(client, service):
    service.store.api_keys.add("board", "read", SECRET, NOW)
    service.store.api_keys.add("person", "write", SECRET + "2", NOW)
    for path, body in (("/anomalies/1/label", {"label": "known"}), ("/monitors/pump/retrain", {})):
        assert client.post(path, body, **bearer(SECRET)).status == 403
        assert client.post(path, body, **bearer(SECRET + "2")).status in {200, 202}
    assert client.post("/monitors/pump/score", {"records": [RECORD]}, **bearer(SECRET)).status == 200


def test_a_key_for_one_monitor_sees_no_other(client, service):
    service.store.api_keys.add("plant", KeyRights("write", ["boiler"]), SECRET, NOW)
    service.store.api_keys.add("all", "read", SECRET + "2", NOW)
    lists = ("/anomalies", "/incidents", "/events", "/audit")
    assert [client.get(path, **bearer(SECRET)).json["items"] for path in lists] == [[]] * 4
    assert all(client.get(path, **bearer(SECRET + "2")).json["items"] for path in lists[:3])
    assert [monitor["name"] for monitor in client.get("/monitors", **bearer(SECRET)).json] == ["boiler"]
    hidden = ("/monitors/pump", "/monitors/pump/models", "/models/1", "/anomalies/1", "/incidents/1")
    assert {client.get(path, **bearer(SECRET)).status for path in hidden} == {404}
    assert client.post("/anomalies/1/label", {"label": "known"}, **bearer(SECRET)).status == 404
    metrics = client.get("/metrics", **bearer(SECRET)).body
    assert not [text for text in (b'monitor="pump"', b'monitor=""', b'channel="ops"') if text in metrics]
    assert b'channel="ops"' in client.get("/metrics", **bearer(SECRET + "2")).body


def test_who_changed_something_is_recorded_with_the_key(client, service):
    service.store.api_keys.add("person", "write", SECRET, NOW)
    client.post("/anomalies/1/label", {"label": "known"}, **bearer(SECRET))
    client.post("/incidents/1/label", {"label": "known"}, **bearer(SECRET))
    client.post("/monitors/pump/retrain", {}, **bearer(SECRET))
    acts = client.get("/audit?actor=key+person", **bearer(SECRET)).json["items"]
    assert [(act["action"], act["subject"], act["monitor"]) for act in acts] == [
        ("retrain", "request 2", "pump"),
        ("label", "incident 1", "pump"),
        ("label", "anomaly 1", "pump"),
    ]
    assert acts[2]["detail"] == {"label": "known"}
    (key,) = service.store.api_keys.all()
    assert key.last_used_at == NOW


def test_a_use_that_cannot_be_recorded_holds_up_one_request_alone(client, service, monkeypatch):
    service.store.api_keys.add("board", "read", SECRET, NOW)
    is_unlocked = threading.Event()
    monkeypatch.setattr(service.store.api_keys, "note_use", lambda *_: is_unlocked.wait())
    with ThreadPoolExecutor(6) as pool:
        statuses = [pool.submit(lambda: client.get("/monitors", **bearer(SECRET)).status) for _ in range(6)]
        try:
            until(lambda: sum(status.done() for status in statuses) == 5, "five requests are answered")
            assert client.get("/readyz").status == 200
        finally:
            is_unlocked.set()
    assert {status.result() for status in statuses} == {200}


def test_revoking_the_last_key_does_not_open_the_api(client, service):
    service.store.api_keys.add("board", "read", SECRET, NOW)
    service.store.api_keys.revoke("board", NOW)
    assert (client.get("/monitors").status, client.get("/monitors", **bearer(SECRET)).status) == (401, 401)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_public_address_requires_a_key(service, host):
    with pytest.raises(ConfigError, match="plumbline keys add NAME --scope read"):
        ApiServer(service, host, 0).start()
    service.store.api_keys.add("old", "read", "x", NOW)
    service.store.api_keys.revoke("old", NOW)
    with pytest.raises(ConfigError, match="no API key"):
        ApiServer(service, host, 0).start()


def test_a_public_address_never_serves_callers_without_a_key(service):
    service.store.api_keys.add("board", "read", SECRET, NOW)
    api = ApiServer(service, "0.0.0.0", 0)
    api.start()

    with writing(service.store.engine) as connection:
        connection.execute(delete(api_keys))
    status = Client(api.port).get("/monitors").status
    api.stop()
    assert status == 401


def test_an_unavailable_address_is_an_error(service, client):
    with pytest.raises(ConfigError, match=f"127.0.0.1 port {client.port}: Address already in use"):
        ApiServer(service, "127.0.0.1", client.port).start()
    with pytest.raises(ConfigError, match="not an address of this machine"):
        ApiServer(service, "no.such.host.invalid", 0).start()


def test_readiness_lists_failed_checks_while_the_process_is_alive(client, service):
    service.alive = False
    answer = client.get("/readyz")
    assert (answer.status, [fault["place"] for fault in answer.json["errors"]]) == (503, ["scheduler"])
    assert client.get("/healthz").json == {"status": "alive"}


def test_an_unavailable_store_is_503_without_its_address(client, service, caplog):

    migrations.downgrade(service.store.engine, "base")
    assert [fault["place"] for fault in client.get("/readyz").json["errors"]] == ["store"]
    for answer in (
        client.get("/anomalies"),
        client.get("/metrics"),
        client.post("/anomalies/1/label", {"label": "known"}),
    ):
        assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
        assert service.store.engine.url.database.encode() not in answer.body
    assert "a request failed: The database" in caplog.text


def test_a_bug_is_500_without_its_traceback(client, service, caplog):
    service.scorer_for = lambda _monitor: 1 / 0
    answer = client.post("/monitors/pump/score", {"records": [RECORD]})
    assert (answer.status, answer.json["detail"]) == (
        500,
        "The service failed to process the request. Its log has the reason.",
    )
    assert b"ZeroDivision" not in answer.body
    assert "a request failed: division by zero" in caplog.text


def test_the_server_stops_despite_a_hanging_connection(service):
    api = ApiServer(service, "127.0.0.1", 0)
    api.start()
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(b"POST /monitors/pump/retrain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        api.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", api.port))


def test_a_connection_without_a_request_is_dropped(service, monkeypatch):
    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.1)
    with serving(service) as client, socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HT")
        assert connection.recv(100) == b""


def test_only_a_connection_without_a_next_request_is_dropped(service, monkeypatch):
    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.5)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(service) as client, socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(request)
            answer = b""
            while b"alive" not in answer:
                answer += connection.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 ")
        connection.sendall(request[:-4])
        assert connection.recv(1000) == b""


def test_a_body_that_is_not_sent_times_out(service, monkeypatch):
    monkeypatch.setattr(body_limit, "_BODY_SECONDS", 0.1)
    head = b"POST /anomalies/1/label HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    with serving(service) as client, socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_score_requests_run_one_at_a_time_with_a_timeout(client, monkeypatch):
    monkeypatch.setattr(adhoc, "_WAIT_SECONDS", 0)
    with adhoc._one_at_a_time:
        answer = client.post("/monitors/pump/score", {"records": [RECORD]})
    assert (answer.status, answer.headers["retry-after"]) == (503, "0")
    assert client.post("/monitors/pump/score", {"records": [RECORD]}).status == 200


def test_a_process_that_served_ends_without_its_threads_and_without_losing_output():
    program = "import atexit, os; from jobs.commands.serve import end_at_once; atexit.register(os.abort); print(1); "
    done = subprocess.run([sys.executable, "-c", program + "end_at_once()"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"1\n")
