"""Writes the starter configuration: a template, or a monitor for a table that is there."""

import json
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from schemas.config import StoreConfig, parse_config

SOURCE_VARIABLE = "PLUMBLINE_SOURCE_URL"

_HEAD = """\
# A configuration of Plumbline. Unknown keys are refused; every key is described in docs/config.md.
# Compare it with the live database: plumbline check

[store]
# Where Plumbline keeps its own tables. In the same database as your records, flagged rows join them in SQL.
# A relative SQLite path is relative to this file. A password comes from the environment: "${NAME}".
"""
_TEMPLATE = """
# One such section for each table to watch; `plumbline init --table NAME` fills it in.
[monitors.my_monitor]
%stable = "my_table"
key = "id"            # unique, never null, and growing
# time = "read_at"    # when a record was made
# entity = "pump_id"  # what it is about
numeric = ["my_number"]
boolean = []
categorical = []
# normal = "status = 'ok'"  # which records may be trained on; all where absent
# label = "is_fault"        # true for known anomalies: to evaluate, never to train
false_positive_rate = 0.01  # share of normal records that may be flagged
"""
_SECRET = f"""\
# The address holds a password, so it stays out of this file.
# Before you start: export {SOURCE_VARIABLE}='...'
"""


def starter_config(folder: Path, table: str | None, source: SecretStr | None, key: str | None) -> str:
    """The text of a configuration to begin with.

    Args:
        folder: where the file will lie; relative SQLite files are looked for there.
        table: a table to write a monitor for; a template without.
        source: address of its database; the store's where it is None.
        key: its key column; the primary key where it is None.

    Raises:
        PlumblineError: where the table cannot be read, or nothing in it can be watched.
    """
    store = StoreConfig()
    head = f"{_HEAD}url = {_toml(store.url.get_secret_value())}\n"
    address = "" if source is None else _source_line(source)
    if table is None:
        return head + _TEMPLATE % address
    from jobs.databases import open_engine
    from jobs.proposing import propose_monitor

    url = (source or store.url).get_secret_value()
    found = parse_config({"store": {"url": url}}, folder / "config.toml").store.url
    engine = open_engine(found)
    try:
        return head + "\n" + _monitor(propose_monitor(engine, table, key), address)
    finally:
        engine.dispose()
