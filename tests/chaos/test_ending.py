"""A harness that is ended leaves no process, no server and no folder."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.chaos.waiting import until
from tests.workspace import ROOT

HARNESS = """
import sys
from pathlib import Path
from tests.chaos.__main__ import end_on_signals
from tests.chaos.databases import new_database, server_of
from tests.chaos.processes import Pool, Role
from tests.chaos.site import Site

end_on_signals()
with server_of("postgresql") as server:
    database = new_database("postgresql", Path(sys.argv[1]), server, "chaos_0")
    site = Site(Path(sys.argv[1]), database, database, {}, "json://localhost", ())
    site.prepare()
    with Pool([Role("one", (("jobs.cli", "serve"),))], site.configure) as pool:
        pool.until(lambda: pool.processes[0].is_ready, "it serves")
        print("serving", flush=True)
        pool.until(lambda: False, "it is ended")
"""


def test_a_harness_that_is_ended_leaves_nothing():
    # Not in pytest's folder: other users cannot read it, and root's server runs as another user.
    with tempfile.TemporaryDirectory(prefix="plumbline-ending-") as folder:
        Path(folder).chmod(0o755)
        command = [sys.executable, "-c", HARNESS, folder]
        harness = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TMPDIR": folder}, stdout=subprocess.PIPE)
        try:
            assert harness.stdout.readline() == b"serving\n"
            started = [process for process in psutil.process_iter() if names(process, folder)]
            assert len(started) > 2  # the harness, a service and a server
            harness.send_signal(signal.SIGTERM)
            assert harness.wait() == 128 + signal.SIGTERM
        finally:
            harness.kill()
            harness.communicate()
        until(lambda: not any(process.is_running() for process in started), "every process has ended")
        assert list(Path(folder).glob("plumbline-chaos-*")) == []


def names(process, folder):
    """Return whether the command of a process names a folder."""
    try:
        return any(folder in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False
