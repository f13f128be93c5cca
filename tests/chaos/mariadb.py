"""A MariaDB server that crashes, with a user for each process, by which the server can tell them apart."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text

from tests.mariadb_server import Server

# Unlike the servers of other tests, it keeps what it has committed.
_OPTIONS = ("--skip-networking", "--skip-log-bin", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M")
_OPTIONS += ("--default-time-zone=+07:00", "--performance-schema=off")
_IS_WRITING = text(
    "SELECT 1 FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p"
    " ON p.ID = t.trx_mysql_thread_id WHERE p.USER = :name AND t.trx_rows_modified > 0"
)


class MariaServer:
    """A separate server, since it will be killed.

    Args:
        folder: of its data.
    """

    def __init__(self, folder):
        self._server = Server(folder, _OPTIONS)
        self._server.start()
        self.url = self._server.url

    def execute(self, statement):
        """Run a statement as the administrator."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def crash(self, _rng):
        """Kill the server."""
        self._server.kill()

    def restart(self):
        """Restart the server; it recovers from its log."""
        self._server.start()

    def close(self):
        """Stop the server."""
        self._server.kill()


class MariaDatabase:
    """A store or watched tables in a database of a server.

    Args:
        server: the server.
        name: of the database to create.
    """

    fault = "the database crashes"

    def __init__(self, server, name):
        self._server, self._name = server, name
        server.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self._watcher = create_engine(server.url, isolation_level="AUTOCOMMIT")

    def url(self, name):
        """Return the address for a process, with a user of its name."""
        self._server.execute(f"CREATE USER IF NOT EXISTS {name}@localhost")
        self._server.execute(f"GRANT ALL ON *.* TO {name}@localhost")
        return self._server.url.set(username=name, database=self._name).render_as_string(hide_password=False)

    def is_writing(self, process):
        """Return whether a process is inside a transaction that has written."""
        with self._watcher.connect() as connection:
            return connection.execute(_IS_WRITING, {"name": process.name}).first() is not None

    @contextmanager
    def faulty(self, _processes, rng):
        """Kill the server, and restart it after the block."""
        self._server.crash(rng)
        try:
            yield
        finally:
            self._server.restart()
            self._watcher.dispose()

    def drop(self):
        """Drop the database."""
        self._watcher.dispose()
        self._server.execute(f"DROP DATABASE {self._name}")


@contextmanager
def mariadb_server():
    """Run a server for the time of a block."""
    with tempfile.TemporaryDirectory(prefix="plumbline-chaos-", ignore_cleanup_errors=True) as folder:
        server = MariaServer(Path(folder))
        try:
            yield server
        finally:
            server.close()
