"""Idle and hostile clients: they keep nobody out, and every refusal is a problem document."""

import json
import socket
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
from sqlalchemy import update

from jobs.api import server
from jobs.api.client_address import client_address
from jobs.api.connections import Connections
from jobs.databases import writing
from schemas.tables import events
from tests.api_service import Client, opened_service, serving
from tests.chaos.waiting import until

UNFINISHED = b"POST /anomalies/1/label HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
PROBLEM = "application/problem+json"
PROBLEM_OF_THE_END = {
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The service is stopping. Try again.",
    "errors": [],
}


@contextmanager
def limited(sqlite_url, monkeypatch, connections=200, **settings):
    monkeypatch.setattr(server, "Connections", partial(Connections, 1000, connections))
    with opened_service(sqlite_url, **settings) as service, serving(service) as client:
        yield client


def connect(stack, client, *sent):
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", client.port), timeout=30))
    for data in sent:
        connection.sendall(data)
    return connection


def answer(connection):
    """Return the status and the document of a response that ends the connection."""
    received = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert PROBLEM.encode() in head
    assert b"nosniff" in head
    return int(head.split()[1]), json.loads(body)


def test_idle_connections_give_way_to_new_ones(sqlite_url, monkeypatch):
    with limited(sqlite_url, monkeypatch, connections=20) as client, ExitStack() as stack:
        idle = [connect(stack, client) for _ in range(100)]
        slow = [connect(stack, client, b"GET /healthz HT") for _ in range(20)]
        assert [client.get(path).status for path in ("/healthz", "/readyz", "/monitors")] == [200] * 3
        assert is_closed(idle[0])
        assert is_closed(slow[0])


def is_closed(connection):
    try:
        return connection.recv(10) == b""
    except ConnectionResetError:  # what it had sent was not read
        return True


def test_connections_with_requests_in_progress_are_kept_and_others_refused(sqlite_url, monkeypatch):
    with limited(sqlite_url, monkeypatch, connections=3) as client, ExitStack() as stack:
        status, problem = until(lambda: refused(client, stack), "three requests are in progress")
        assert (status, problem["title"]) == (503, "Service Unavailable")


def test_a_client_that_does_not_read_is_cut_off(sqlite_url, monkeypatch):
    monkeypatch.setattr(server, "_UNREAD_SECONDS", 3)
    settings = {"max_requests_per_address": 1}
    with opened_service(sqlite_url, **settings) as service, serving(service) as client, ExitStack() as stack:
        with writing(service.store.ledger.engine) as connection:
            connection.execute(update(events).values(message="x" * 2**24))
        connect(stack, client, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        until(lambda: client.get("/monitors").status == 429, "a request is in progress")
        until(lambda: client.get("/monitors").status == 200, "the connection is cut")


def refused(client, stack):
    """Begin a request, and return its refusal; None if it got a place, which it keeps once it is in progress."""
    connection = connect(stack, client, UNFINISHED)
    connection.settimeout(0.5)
    try:
        return answer(connection)
    except TimeoutError:
        return None


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (None, "10.0.0.1"),
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),  # the first one may be invented
        ("nonsense", "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_names_the_client(forwarded, address):
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    scope = {"type": "http", "client": ("10.0.0.1", 5), "headers": headers}
    assert client_address(scope, ("10.0.0.0/8",)) == address
    as_ipv6 = scope | {"client": ("::ffff:10.0.0.1", 5)}  # of a service that listens on ::
    assert client_address(as_ipv6, ("10.0.0.0/8",)) == address
    assert client_address(scope, ()) == client_address(scope, ("192.0.2.1",)) == "10.0.0.1"


def test_clients_of_a_trusted_proxy_are_limited_each_by_itself(sqlite_url, monkeypatch):
    settings = {"max_requests_per_address": 1, "trusted_proxies": ["127.0.0.1"]}
    with limited(sqlite_url, monkeypatch, **settings) as open_client, ExitStack() as stack:
        key = open_client.post("/keys", {"name": "board"}).json["key"].encode()
        client = Client(open_client.port, {"Authorization": f"Bearer {key.decode()}"})
        own = b"Authorization: Bearer " + key + b"\r\nX-Forwarded-For: 198.51.100.7\r\nHost"
        connect(stack, client, UNFINISHED.replace(b"Host", own))
        forwarded = {"X-Forwarded-For": "198.51.100.7"}
        until(lambda: client.get("/monitors", **forwarded).status == 429, "a request is in progress")
        assert client.get("/monitors", **{"X-Forwarded-For": "198.51.100.8"}).status == 200


def test_requests_in_progress_are_limited_by_address_apart_from_health_and_metrics(sqlite_url, monkeypatch):
    settings = {"max_requests_per_address": 2}
    with limited(sqlite_url, monkeypatch, **settings) as client, ExitStack() as stack:
        assert client.get("/monitors").status == 200
        for _ in range(2):
            connect(stack, client, UNFINISHED)
        refusal = until(lambda: (got := client.get("/monitors")).status == 429 and got, "two requests are in progress")
        assert (refusal.headers["content-type"], refusal.headers["retry-after"]) == (PROBLEM, "1")
        assert "2 requests from this address are in progress" in refusal.json["detail"]
        assert [client.get(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3


def test_a_request_that_the_end_of_the_service_cuts_short_is_a_problem(sqlite_url, monkeypatch):
    monkeypatch.setattr(server, "_GRACE_SECONDS", 1)
    with ExitStack() as stack:
        with limited(sqlite_url, monkeypatch) as client:
            connection = connect(stack, client, UNFINISHED.replace(b"100", b"2"))
            assert client.get("/healthz").status == 200
        assert answer(connection) == (503, PROBLEM_OF_THE_END)


@pytest.mark.parametrize("sent", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000])
def test_what_is_not_http_is_a_problem(sqlite_url, monkeypatch, sent):
    with limited(sqlite_url, monkeypatch) as client, ExitStack() as stack:
        status, problem = answer(connect(stack, client, sent))
        assert (status, problem["title"]) == (400, "Bad Request")


def test_head_is_get_without_a_body(sqlite_url, monkeypatch):
    with limited(sqlite_url, monkeypatch) as client:
        for path, status in (("/monitors", 200), ("/healthz", 200), ("/anomalies/99", 404)):
            head, got = client.send("HEAD", path), client.get(path)
            assert (head.status, head.body) == (status, b"")
            assert head.headers["content-length"] == str(len(got.body))


def test_a_body_of_any_length_beyond_the_limit_is_413(sqlite_url, monkeypatch):
    with limited(sqlite_url, monkeypatch, max_body_bytes=1024) as client:
        for body in (b" " * 2**25, iter([b" " * 2**20] * 20)):
            refusal = client.send("POST", "/anomalies/1/label", body, {"Content-Type": "application/json"})
            assert (refusal.status, refusal.headers["content-type"]) == (413, PROBLEM)
