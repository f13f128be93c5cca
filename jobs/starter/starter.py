"""Writes the starter configuration: a template, or a monitor for an existing table."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import SecretStr

from jobs.addresses import has_password
from jobs.databases import open_engine
from jobs.starter.proposing import RATES, Proposal, propose_monitor
from schemas.config import escape_variables, parse_config
from schemas.service import StoreConfig

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
# normal = "status = 'ok'"  # which records may be trained on; all if absent
# label = "is_fault"        # true for known anomalies: to evaluate, never to train
false_positive_rate = 0.01  # share of normal records that may be flagged
"""
_LINE_LENGTH = 110
_SECRET = f"""\
# The address holds a password, so it stays out of this file.
# Before you start: export {SOURCE_VARIABLE}='...'
"""


def starter_config(folder: Path, table: str | None, source: SecretStr | None, key: str | None) -> str:
    """Return the text of a configuration to start from.

    Args:
        folder: The folder of the file; relative SQLite files are in it.
        table: The table to write a monitor for; None for a template.
        source: The address of its database; None for the store's.
        key: Its key column; None for the primary key.

    Raises:
        PlumblineError: If the table cannot be read, or nothing in it can be watched.
    """
    store = StoreConfig()
    head = f"{_HEAD}url = {_toml(store.url.get_secret_value())}\n"
    address = "" if source in {None, store.url} else _source_line(source)
    if table is None:
        return head + _TEMPLATE.format(source=address)
    url = (source or store.url).get_secret_value()
    engine = open_engine(parse_config({"store": {"url": url}}, folder / "config.toml").store.url)
    try:
        return head + "\n" + _monitor(propose_monitor(engine, table, key), address)
    finally:
        engine.dispose()


def _source_line(source: SecretStr) -> str:
    if has_password(source):
        return f'{_SECRET}source = "${{{SOURCE_VARIABLE}}}"\n'
    return f"source = {_toml(source.get_secret_value())}\n"


def _monitor(proposal: Proposal, address: str) -> str:
    return "\n".join(_monitor_lines(proposal, address)) + "\n"


def _monitor_lines(proposal: Proposal, address: str) -> Iterator[str]:
    yield f"[monitors.{proposal.name}]\n{address}table = {_toml(proposal.table)}"
    yield f"key = {_toml(proposal.key[0]) if len(proposal.key) == 1 else _toml_list(proposal.key)}"
    if proposal.time is not None:
        yield f"time = {_toml(proposal.time)}"
    yield '# entity = "machine_id"  # the column with what a record is about'
    yield "# Remove columns that are filled in only later, such as a diagnosis or a repair."
    yield from (f"{role} = {_toml_list(names)}" for role, names in proposal.features.items() if names)
    if proposal.left_out:
        yield "# Left out:"
        yield from (f"#   {_toml(name)}: {why}" for name, why in proposal.left_out.items())
    if proposal.label is None or proposal.normal is None:
        yield "# normal = \"status = 'ok'\"  # which records may be trained on; all if absent"
        yield '# label = "is_fault"        # true for known anomalies: to evaluate, never to train'
    else:
        yield f"normal = {_toml(proposal.normal)}  # which records may be trained on"
        yield f"label = {_toml(proposal.label)}  # true for known anomalies: to evaluate, never to train"
    yield f"# {_rate_reason(proposal)}"
    yield f"false_positive_rate = {proposal.false_positive_rate:g}  # share of normal records that may be flagged"


def _rate_reason(proposal: Proposal) -> str:
    enough, smallest = RATES[0]
    if proposal.normal_records >= enough:
        return (
            f"There are {enough:,} normal records or more, enough for one false alarm in {1 / smallest:,.0f} of them."
        )
    smaller = [(needed, rate) for needed, rate in RATES if rate < proposal.false_positive_rate]
    needed, rate = smaller[-1]
    return f"There are {proposal.normal_records:,} normal records; a rate of {rate:g} should have {needed:,}."


def _toml_list(names: Sequence[str]) -> str:
    """Return a list on one line, or with one name per line if it is long."""
    items = [_toml(name) for name in names]
    line = f"[{', '.join(items)}]"
    return line if len(line) <= _LINE_LENGTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"


def _toml(text: str) -> str:
    """Return a text as TOML writes it: as JSON does, except for the delete character."""
    return json.dumps(escape_variables(text), ensure_ascii=False).replace("\x7f", "\\u007f")
