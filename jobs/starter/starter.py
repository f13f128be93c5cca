"""Writes the starter configuration: a template, or a monitor for a table that is there."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import SecretStr

from jobs.databases import has_password, open_engine
from jobs.starter.proposing import RATES, Proposal, propose_monitor
from schemas.config import StoreConfig, escape_variables, parse_config

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
{source}table = "my_table"
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
_WIDTH = 110
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
    address = "" if source in {None, store.url} else _source_line(source)
    if table is None:
        return head + _TEMPLATE.format(source=address)
    url = (source or store.url).get_secret_value()
    found = parse_config({"store": {"url": url}}, folder / "config.toml").store.url
    engine = open_engine(found)
    try:
        return head + "\n" + _monitor(propose_monitor(engine, table, key), address)
    finally:
        engine.dispose()


def _source_line(source: SecretStr) -> str:
    if has_password(source):
        return f'{_SECRET}source = "${{{SOURCE_VARIABLE}}}"\n'
    return f"source = {_toml(source.get_secret_value())}\n"


def _monitor(found: Proposal, address: str) -> str:
    return "\n".join(_monitor_lines(found, address)) + "\n"


def _monitor_lines(found: Proposal, address: str) -> Iterator[str]:
    yield f"[monitors.{found.name}]\n{address}table = {_toml(found.table)}"
    yield f"key = {_toml(found.key[0]) if len(found.key) == 1 else _toml_list(found.key)}"
    if found.time is not None:
        yield f"time = {_toml(found.time)}"
    yield '# entity = "machine_id"  # the column that says what a record is about'
    yield "# Take out what is only known after the fact, such as a diagnosis or a repair."
    yield from (f"{role} = {_toml_list(names)}" for role, names in found.features.items() if names)
    if found.left_out:
        yield "# Left out:"
        yield from (f"#   {_toml(name)}: {why}" for name, why in found.left_out.items())
    if found.label is None or found.normal is None:
        yield "# normal = \"status = 'ok'\"  # which records may be trained on; all where absent"
        yield '# label = "is_fault"        # true for known anomalies: to evaluate, never to train'
    else:
        yield f"normal = {_toml(found.normal)}  # which records may be trained on"
        yield f"label = {_toml(found.label)}  # true for known anomalies: to evaluate, never to train"
    yield f"# {_rate_reason(found)}"
    yield f"false_positive_rate = {found.false_positive_rate:g}  # share of normal records that may be flagged"


def _rate_reason(found: Proposal) -> str:
    enough, smallest = RATES[0]
    if found.normal_records >= enough:
        return (
            f"There are {enough:,} normal records or more, enough for one false alarm in {1 / smallest:,.0f} of them."
        )
    smaller = [(needed, rate) for needed, rate in RATES if rate < found.false_positive_rate]
    wanted, rate = smaller[-1]
    return f"There are {found.normal_records:,} normal records; a rate of {rate:g} should have {wanted:,}."


def _toml_list(names: Sequence[str]) -> str:
    """A list on one line, or with a name on each, easy to take out or to move."""
    items = [_toml(name) for name in names]
    line = f"[{', '.join(items)}]"
    return line if len(line) <= _WIDTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"


def _toml(text: str) -> str:
    """A text as TOML writes it: as JSON does, but for the delete character."""
    return json.dumps(escape_variables(text), ensure_ascii=False).replace("\x7f", "\\u007f")
