"""The uvicorn server of the API, in a thread of the serving process."""

import asyncio
import logging
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import h11
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from uvicorn.protocols.http.h11_impl import H11Protocol

from jobs.api.application import create_app
from jobs.api.connections import Connections
from jobs.api.error_boundary import SECURITY_HEADERS
from jobs.api.problems import problem
from jobs.api.service_view import ServiceView
from schemas.errors import ConfigError

_log = logging.getLogger("plumbline")

_REQUEST_THREADS = 8  # fewer than the store has connections
_REFUSAL_SECONDS = 2  # for a client to read the refusal of its connection
_HEAD_SECONDS = 20  # for a connection to send the head of its first or next request
_UNREAD_SECONDS = 60  # for a client to read what was sent, before the connection is cut
_START_SECONDS = 30
_GRACE_SECONDS = 3  # for requests in progress when the service stops


class ApiServer:
    """Serves HTTP from `start` to `stop`.

    Args:
        service: the service.
        host: address to listen on.
        port: port to listen on; 0 selects a free one.
    """

    def __init__(self, service: ServiceView, host: str, port: int) -> None:
        self._service, self._host, self._port = service, host, port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._port

    def start(self) -> None:
        """Start to listen, and return once the server accepts requests.

        Raises:
            ConfigError: If the address is not available, or is not local while the store has no API key.
        """
        family, address = _resolved(self._host, self._port)
        is_local = ip_address(address[0]).is_loopback
        self._refuse_without_keys(is_local=is_local)
        listener = _listening(family, address)
        self._port = int(listener.getsockname()[1])
        self._server = _Server(create_app(self._service, is_local=is_local))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="api", daemon=True)
        self._thread.start()
        if not self._server.is_listening.wait(_START_SECONDS):
            msg = f"The API did not start within {_START_SECONDS} s. See the log for the reason."
            raise ConfigError(msg)
        _log.info("API listening on %s port %d", self._host, self._port)
        if self._service.config.service.page:
            _log.info("pages: %s", _page_address(family, address[0], self._port))

    def stop(self) -> None:
        """Finish the requests in progress and close, within a few seconds."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(2 * _GRACE_SECONDS)
        self._server = self._thread = None

    def _refuse_without_keys(self, *, is_local: bool) -> None:
        keys = self._service.store.api_keys.all()
        if is_local and not keys:
            _log.warning(
                "the API requires no key: every user of this machine may read, label and retrain. "
                "To require keys, create one: plumbline keys add NAME --scope read"
            )
        if not is_local and not any(key.revoked_at is None for key in keys):
            msg = (
                f"[service] host is {self._host!r}, which other machines can reach, but the store has no API key. "
                'Create one: plumbline keys add NAME --scope read, or listen on "127.0.0.1".'
            )
            raise ConfigError(msg)


class _Protocol(H11Protocol):
    """HTTP/1.1 that drops idle connections, and states every error as a problem.

    A connection is dropped if the head of a request is not received in time, if the client does not read its responses,
    or if it is idle and others need its place.
    """

    connections_open: Connections
    _unread: asyncio.TimerHandle
    _is_refused = False

    @property
    def address(self) -> str:
        """The address of the caller."""
        return self.client[0] if self.client else ""

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress, and every response was sent."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and not self.transport.get_write_buffer_size()

    def drop(self) -> None:
        """Close the connection, once the client has read what was sent or has had the time for it."""
        if not self.transport.is_closing():
            self.transport.close()
            self.loop.call_later(_UNREAD_SECONDS, self.transport.abort)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        """Start the timeout of the first request."""
        super().connection_made(transport)
        if not self.connections_open.admit(self):
            self._refuse(503, "Too many connections with requests in progress. Try again.")
            return
        self.loop.call_later(_HEAD_SECONDS, self._close_without_request, self.scope)

    def pause_writing(self) -> None:
        """Cut the connection of a client that does not read in time: its request would be in progress for ever."""
        super().pause_writing()
        self._unread = self.loop.call_later(_UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timeout: the client has read."""
        super().resume_writing()
        self._unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place of the connection."""
        self.connections_open.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what the client sends, and discard it after a refusal."""
        if not self._is_refused:
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Start the timeout of the next request."""
        answered = self.scope  # before the base class reads a request that may already be buffered
        super().on_response_complete()
        self.loop.call_later(_HEAD_SECONDS, self._close_without_request, answered)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the base class has one text for all errors
        """Refuse what is not HTTP/1.1."""
        self._refuse(400, "The request is not valid HTTP/1.1, or its head is longer than 64 KiB. Correct the request.")

    def _refuse(self, status: int, detail: str) -> None:
        refusal = problem(status, detail)
        secure = ((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items())
        headers = [*refusal.raw_headers, *secure, (b"connection", b"close")]
        events = (
            h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase),
            h11.Data(data=bytes(refusal.body)),
            h11.EndOfMessage(),
        )
        with suppress(h11.LocalProtocolError):  # a response is in progress, so that none can begin
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self._is_refused = True
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self.loop.call_later(_REFUSAL_SECONDS, self.drop)  # to close with unread data would discard the refusal

    def _close_without_request(self, answered: object) -> None:
        has_request = self.scope is not answered
        if not has_request:
            self.drop()


class _Server(uvicorn.Server):
    """A server with an event that is set once it listens."""

    def __init__(self, app: Any) -> None:
        protocol = type("Protocol", (_Protocol,), {"connections_open": Connections()})
        settings = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(settings)
        self.is_listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        current_default_thread_limiter().total_tokens = _REQUEST_THREADS
        await super().startup(sockets)
        self.is_listening.set()


def _page_address(family: socket.AddressFamily, host: str, port: int) -> str:
    """Return the address of the fleet's page.

    >>> _page_address(socket.AF_INET6, "::1", 8321)
    'http://[::1]:8321/'
    """
    return f"http://[{host}]:{port}/" if family == socket.AF_INET6 else f"http://{host}:{port}/"


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Resolve a host name to an address."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as exc:
        msg = f"[service] host is {host!r}, which is not an address of this machine: {exc.strerror}."
        raise ConfigError(msg) from exc
    return family, address


def _listening(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        listener.close()
        place = f"{address[0]} port {address[1]}"
        msg = f"The API cannot listen on {place}: {exc.strerror}. Change host or port of [service]."
        raise ConfigError(msg) from exc
    return listener
