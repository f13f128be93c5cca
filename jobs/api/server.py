"""The API under uvicorn, in a thread of the process that serves."""

import asyncio
import logging
import socket
import threading
from ipaddress import ip_address
from typing import Any

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from uvicorn.protocols.http.h11_impl import H11Protocol

from jobs.api.application import create_app
from jobs.api.state import State
from schemas.errors import ConfigError

_log = logging.getLogger("plumbline")

_THREADS = 8  # that answer at once, fewer than the store has connections
_CONNECTIONS = 100  # open at once; one more is told to come again
_HEAD_SECONDS = 20  # within which a connection must have sent the head of a request, the first or the next
_START_SECONDS = 30
_GRACE_SECONDS = 3  # for requests that are being answered when the service stops


class ApiServer:
    """Answers HTTP from `start` to `stop`.

    Args:
        state: the service.
        host: address to listen on.
        port: to listen on; 0 takes a free one.
    """

    def __init__(self, state: State, host: str, port: int) -> None:
        self._state, self._host, self._port = state, host, port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def start(self) -> None:
        """Listen, and return once requests are answered.

        Raises:
            ConfigError: where the address cannot be had, or is open to others while the store has no API key.
        """
        family, address = _resolved(self._host, self._port)
        is_local = ip_address(address[0]).is_loopback
        self._refuse_without_keys(is_local=is_local)
        listener = _listening(family, address)
        self._port = int(listener.getsockname()[1])
        self._server = _Server(create_app(self._state, is_local=is_local))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="api", daemon=True)
        self._thread.start()
        if not self._server.answers.wait(_START_SECONDS):
            msg = f"The API did not start within {_START_SECONDS} s. The log says why."
            raise ConfigError(msg)
        _log.info("the API answers on %s port %d", self._host, self._port)

    def stop(self) -> None:
        """Answer what is being answered, then close; at most a few seconds."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(2 * _GRACE_SECONDS)
        self._server = self._thread = None

    def _refuse_without_keys(self, *, is_local: bool) -> None:
        keys = self._state.store.api_keys.all()
        if is_local and not keys:
            _log.warning(
                "the API asks for no key: whoever is on this machine may read, label and retrain. "
                "Make one, and every request needs one: plumbline keys add NAME --scope read"
            )
        if not is_local and not any(key.revoked_at is None for key in keys):
            msg = (
                f"[service] host is {self._host!r}, which others can reach, and the store has no API key. "
                'Make one: plumbline keys add NAME --scope read, or listen on "127.0.0.1".'
            )
            raise ConfigError(msg)


class _Protocol(H11Protocol):
    """HTTP/1.1 on a connection that is dropped where no request comes on it, or its head comes too slowly."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.loop.call_later(_HEAD_SECONDS, self._close_without_request, self.scope)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        answered = self.scope  # asked before the base class reads a request that may have come already
        super().on_response_complete()
        self.loop.call_later(_HEAD_SECONDS, self._close_without_request, answered)

    def _close_without_request(self, answered: object) -> None:
        has_request = self.scope is not answered
        if not has_request and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, app: Any) -> None:
        settings = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(settings)
        self.answers = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        current_default_thread_limiter().total_tokens = _THREADS
        await super().startup(sockets)
        self.answers.set()


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """The address that a host's name stands for."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as exc:
        msg = f"[service] host is {host!r}, which is no address of this machine: {exc.strerror}."
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
