"""PostgreSQL whose disk is full: the run fails, nothing is half written, and the next one goes on."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import NullPool, create_engine, text

from jobs.app import open_store
from jobs.databases import open_engine
from jobs.store import migrations
from schemas.errors import StoreError
from tests.chaos.databases import full_disk
from tests.watched_table import MonitoredTable

RECORDS = 3_000  # whose scores need more room than is left in the pages of the tables


@pytest.fixture
def small_disk():
    """A disk of 64 MiB for a tablespace; skipped unless this user may mount one."""
    # Not in pytest's folder: other users cannot read it, and root's server runs as another user.
    with tempfile.TemporaryDirectory(prefix="plumbline-disk-") as folder:
        Path(folder).chmod(0o755)
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0777", "tmpfs", folder]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a small disk")
        space = Path(folder) / "space"
        space.mkdir()
        os.chown(space, pwd.getpwnam("pgserver").pw_uid, -1)
        yield space
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def pump(postgres, small_disk):
    with on_disk(postgres, small_disk) as url:
        engine = open_engine(url)
        migrations.upgrade(engine)
        pump = MonitoredTable(open_store(engine), batch_size=1_000)
        pump.put(*range(1, RECORDS + 1))
        pump.put(RECORDS + 1, value=9.0)
        yield pump
        engine.dispose()


@contextmanager
def on_disk(postgres, folder):
    """Create a database on a disk, and yield its address."""
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE TABLESPACE small LOCATION '{folder}'"))
        connection.execute(text("CREATE DATABASE small TABLESPACE small"))
        yield SecretStr(postgres.set(database="small").render_as_string(hide_password=False))
        connection.execute(text("DROP DATABASE small WITH (FORCE)"))
        connection.execute(text("DROP TABLESPACE small"))


def test_a_full_disk_ends_the_run_and_the_next_one_leaves_no_trace_of_it(pump, small_disk):
    with full_disk(small_disk.parent), pytest.raises(StoreError, match="No space left on device"):
        pump.score()
    assert sum(records or 0 for records in pump.ledger("records")) == sum(hour[1] for hour in pump.hours())
    pump.wait(hours=1)
    pump.score()
    assert pump.flagged() == [str(RECORDS + 1)]
    assert sum(pump.ledger("records")) == sum(hour[1] for hour in pump.hours()) == RECORDS + 1
