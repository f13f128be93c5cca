"""A Dask cluster of processes on this machine: a scheduler and workers that a test may kill."""

import os
import socket
import sys
from subprocess import DEVNULL, Popen

from distributed import Client

from tests.workspace import ROOT

_SECONDS = 60


class Cluster:
    """A scheduler on a fixed port, and workers of one thread each."""

    def __init__(self, folder):
        self.folder, self.workers = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler = None

    def start(self, workers):
        """Start a scheduler and workers, and wait until they are connected."""
        self.scheduler = self._start("dask_scheduler", "--host", "127.0.0.1", "--port", self.port)
        self.add_workers(workers)

    def add_workers(self, count):
        """Start more workers, and wait for them."""
        options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", self.folder)
        self.workers += [self._start("dask_worker", self.address, *options) for _ in range(count)]
        with Client(self.address, timeout=_SECONDS, set_as_default=False) as client:
            client.wait_for_workers(sum(worker.poll() is None for worker in self.workers), timeout=_SECONDS)

    def kill_workers(self):
        """Kill every worker."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers.clear()

    def kill(self):
        """Kill the scheduler and every worker."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.kill_workers()

    def modules(self):
        """Return the names of the modules that each worker has imported."""
        with Client(self.address, timeout=_SECONDS, set_as_default=False) as client:
            return list(client.run(_modules).values())

    def _start(self, program, *arguments):
        with (self.folder / f"{program}.log").open("a") as log:
            return Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *map(str, arguments)],
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=DEVNULL,
                stderr=log,
            )


def _modules():
    return set(sys.modules)
