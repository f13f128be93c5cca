"""Networks that stop to carry packets without closing a connection: a proxy, and a namespace of the network."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

_BYTES = 1 << 16
_HOST, _GUEST = "10.213.77.1", "10.213.77.2"
_NAME = f"plumb{os.getpid() % 100_000}"  # of the namespace; an interface has at most 15 characters


class Proxy:
    """Forwards connections of a TCP port to a Unix socket.

    Args:
        path: of the socket.
        host: address to listen on.
    """

    def __init__(self, path, host="127.0.0.1"):
        self._path = str(path)
        self._listener = socket.create_server((host, 0))
        self.host, self.port = self._listener.getsockname()
        self._carries, self._sockets = threading.Event(), [self._listener]
        self._carries.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def silent(self):
        """Carry nothing for the time of a block; what was sent meanwhile arrives after it."""
        self._carries.clear()
        try:
            yield
        finally:
            self._carries.set()

    def close(self):
        """Close every connection."""
        self._carries.set()
        for opened in self._sockets:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._path)
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, incoming, outgoing):
        with suppress(OSError):
            while data := incoming.recv(_BYTES):
                self._carries.wait()
                outgoing.sendall(data)
            outgoing.shutdown(socket.SHUT_WR)


class Namespace:
    """A proxy in a network of its own, whose packets can be dropped.

    Args:
        path: of the Unix socket to which it forwards.
    """

    def __init__(self, path):
        _ip("link", "add", f"{_NAME}a", "type", "veth", "peer", "name", f"{_NAME}b", "netns", _NAME)
        _ip("addr", "add", f"{_HOST}/30", "dev", f"{_NAME}a")
        _ip("link", "set", f"{_NAME}a", "up")
        _ip("-n", _NAME, "addr", "add", f"{_GUEST}/30", "dev", f"{_NAME}b")
        _ip("-n", _NAME, "link", "set", f"{_NAME}b", "up")
        command = ["ip", "netns", "exec", _NAME, sys.executable, "-m", "tests.silent_network", str(path), _GUEST]
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.host, self.port = _GUEST, int(self._process.stdout.readline())

    @contextmanager
    def silent(self):
        """Drop every packet for the time of a block."""
        _ip("-n", _NAME, "route", "add", "blackhole", f"{_HOST}/32")
        try:
            yield
        finally:
            _ip("-n", _NAME, "route", "del", "blackhole", f"{_HOST}/32")

    def close(self):
        """End the proxy."""
        self._process.communicate("")


@contextmanager
def proxy_to(path):
    """Run a proxy to a Unix socket for the time of a block."""
    proxy = Proxy(path)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def namespace_to(path):
    """Run a proxy to a Unix socket in a network of its own; yield None if this user may not create one."""
    create = ["ip", "netns", "add", _NAME]
    if shutil.which("ip") is None or subprocess.run(create, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        network = Namespace(path)
        try:
            yield network
        finally:
            network.close()
    finally:
        _ip("netns", "del", _NAME)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    _proxy = Proxy(*sys.argv[1:])
    sys.stdout.write(f"{_proxy.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
