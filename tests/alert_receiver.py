"""A real channel for alerts: a web server that keeps the JSON that it receives."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append(body)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def receiving():
    """Run a server that answers with its `status`, has an `address` for Apprise, and keeps what it `received`."""
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    server.received, server.status = [], 200
    server.address = f"json://nobody:hunter2@127.0.0.1:{server.server_port}/path-of-secrets"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
