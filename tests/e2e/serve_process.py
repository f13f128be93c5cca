"""A process that runs `plumbline serve`, with its log."""

import json
import signal
import threading
import time
from contextlib import contextmanager

WAIT_SECONDS = 120
PAUSE_SECONDS = 0.2  # between two queries, each on a new connection


class ServeProcess:
    """A running `plumbline serve` or `plumbline work`.

    Args:
        plant: the workspace that it serves.
        command: that it runs.
    """

    def __init__(self, plant, command="serve"):
        self.plant = plant
        self.process = plant.start(command)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            # Compiled libraries write to standard error directly, and not as JSON.
            self.lines.append(json.loads(line) if line.startswith("{") else {"message": line})

    def logged(self, message):
        """Return the lines of the log whose message starts with a text."""
        return [line for line in self.lines if line["message"].startswith(message)]

    def until(self, condition):
        """Wait until a condition is true while the process is alive, and return its value."""
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not (value := condition()):
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < give_up_at, self.lines
            time.sleep(PAUSE_SECONDS)
        return value

    def until_logged(self, message):
        """Wait for a line of the log."""
        return self.until(lambda: self.logged(message))

    def until_found(self, sql, **parameters):
        """Wait until a query on the store returns rows."""
        return self.until(lambda: self.plant.query(sql, **parameters))

    def signal(self, number):
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self):
        """Wait for the end, and return the exit code."""
        code = self.process.wait(WAIT_SECONDS)
        self._reader.join()
        return code


@contextmanager
def serving(plant, command="serve"):
    """Serve or work for the duration of a block, and then stop by SIGTERM unless the process has ended."""
    process = ServeProcess(plant, command)
    try:
        process.until_logged("serving" if command == "serve" else "working")
        yield process
        if process.process.poll() is None:
            process.signal(signal.SIGTERM)
            assert process.ended() == 0, process.lines
    finally:
        process.process.kill()
        process.process.communicate()
