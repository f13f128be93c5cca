"""A `plumbline serve` of its own process, and its log as it grows."""

import json
import signal
import threading
import time
from contextlib import contextmanager

WAIT_SECONDS = 120


class Serving:
    """A process that serves.

    Args:
        plant: the folder that it serves in.
    """

    def __init__(self, plant):
        self.plant = plant
        self.process = plant.start("serve")
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            # What compiled libraries write past Python is no line of ours.
            self.lines.append(json.loads(line) if line.startswith("{") else {"message": line})

    def said(self, message):
        """The lines of the log whose message begins so."""
        return [line for line in self.lines if line["message"].startswith(message)]

    def until(self, condition):
        """Wait until a condition holds, while the process lives; what it gave."""
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not (found := condition()):
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < give_up_at, self.lines
            time.sleep(0.05)
        return found

    def until_said(self, message):
        """Wait for a line of the log."""
        return self.until(lambda: self.said(message))

    def until_found(self, sql, **parameters):
        """Wait until a query of the store finds rows."""
        return self.until(lambda: self.plant.query(sql, **parameters))

    def signal(self, number):
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self):
        """Wait for the end; the exit code."""
        code = self.process.wait(WAIT_SECONDS)
        self._reader.join()
        return code


@contextmanager
def serving(plant):
    """A process that serves for the time of a block, and is then stopped by SIGTERM unless it has ended."""
    process = Serving(plant)
    try:
        process.until_said("serving")
        yield process
        if process.process.poll() is None:
            process.signal(signal.SIGTERM)
            assert process.ended() == 0, process.lines
    finally:
        process.process.kill()
        process.process.communicate()
