"""A MariaDB server of its own for tests, in a temporary folder, with settings that are unlike Plumbline's needs."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests import memory
from tests.chaos.waiting import until

PROGRAMS = ("mariadbd", "mariadb-install-db", "my_print_defaults")
HOW_TO_INSTALL = "apt-get install mariadb-server-core mariadb-client-core"
MAX_ALLOWED_PACKET = 1_048_576

# Times in another zone than UTC, a small character set, values cut to the length of their columns, small statements.
HOSTILE = (
    "--default-time-zone=+07:00",
    "--character-set-server=latin1",
    "--sql-mode=",
    f"--max-allowed-packet={MAX_ALLOWED_PACKET}",
)
CHEAP = ("--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-log-bin")
CHEAP += ("--innodb-log-file-size=16M", "--performance-schema=off")

on_mariadb_too = pytest.mark.parametrize("database_url", ["sqlite", "postgresql", "mariadb"], indirect=True)


def missing_programs():
    """Return the programs of MariaDB that this machine lacks."""
    return [name for name in PROGRAMS if _program(name) is None]


@contextmanager
def running():
    """Run a server on a socket, and yield its address."""
    with tempfile.TemporaryDirectory(
        prefix="plumbline-mariadb-", dir=memory.folder(), ignore_cleanup_errors=True
    ) as folder:
        server = Server(Path(folder), (*HOSTILE, *CHEAP))
        server.start()
        try:
            yield server.url
        finally:
            server.kill()  # the folder is deleted


class Server:
    """A server that can be killed and started again.

    Args:
        folder: of its data, which are created.
        options: of the server.
    """

    def __init__(self, folder, options):
        # A folder of its own for temporary tables: in a shared one, another server deletes them when it starts.
        temporary = folder / "temporary"
        temporary.mkdir()
        place = [
            "--no-defaults",
            f"--datadir={folder}/data",
            f"--tmpdir={temporary}",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]
        first = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([_program("mariadb-install-db"), *place, *first], check=True, capture_output=True)
        socket = folder / "socket"
        self.url = URL.create("mysql+pymysql", "root", database="mysql", query={"unix_socket": str(socket)})
        self._command = [_program("mariadbd"), *place, f"--socket={socket}", f"--pid-file={folder}/pid", *options]
        self._log = folder / "log"
        self._process = None

    def start(self):
        """Start it, and wait until it accepts connections."""
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        until(lambda: b"ready for connections" in self._log.read_bytes(), "MariaDB is ready")

    def kill(self):
        """Send SIGKILL."""
        self._process.kill()
        self._process.wait()


def _program(name):
    folders = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]  # the path of a user lacks folders of root
    return shutil.which(name, path=os.pathsep.join(folders))
