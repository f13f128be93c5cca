"""Writes the starter configuration: a template, or monitors for existing tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from jobs.addresses import has_password
from jobs.databases import open_engine
from jobs.starter.monitor_text import monitor_text
from jobs.starter.proposing import Choices, Proposal, monitor_name, propose_monitor
from jobs.wording import toml_text
from schemas.config import Config, load_config, parse_config
from schemas.errors import UsageError
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
# One section for each table to watch; this command adds one: plumbline init --append --table NAME
# To write it by hand, remove the first "# " of each line:
#
# [monitors.my_monitor]
{source}# table = "my_table"
# key = "id"            # unique, never null, and growing
# # time = "read_at"    # when a record was made
# # entity = "pump_id"  # what it is about
# numeric = ["my_number"]
# boolean = []
# categorical = []
# # normal = "status = 'ok'"  # which records may be trained on; all if absent
# # label = "is_fault"        # true for known anomalies: to evaluate, never to train
# false_positive_rate = 0.01  # share of normal records that may be flagged
"""
_SECRET = f"""\
# The address holds a password, so it stays out of this file.
# Before you start: export {SOURCE_VARIABLE}='...'
"""


@dataclass(frozen=True)
class Starter:
    """A configuration to start from.

    Attributes:
        text: of the file.
        proposals: the monitors that were added to it.
    """

    text: str
    proposals: tuple[Proposal, ...] = ()


@dataclass(frozen=True)
class Tables:
    """The tables to write monitors for.

    Attributes:
        names: of the tables; none for a template.
        source: the address of their database; None for the store's.
        choices: what the user decides about them.
    """

    names: tuple[str, ...] = ()
    source: SecretStr | None = None
    choices: Choices = field(default_factory=Choices)


def starter_config(path: Path, tables: Tables) -> Starter:
    """Return a configuration to start from.

    Args:
        path: The file that it will be in; relative SQLite files are in its folder.
        tables: The tables to write monitors for.

    Raises:
        PlumblineError: If a table cannot be read, or nothing in it can be watched.
    """
    store = StoreConfig()
    head = f"{_HEAD}url = {toml_text(store.url.get_secret_value())}\n"
    if not tables.names:
        address = "" if tables.source in {None, store.url} else _source_line(tables.source or store.url)
        return Starter(head + _TEMPLATE.format(source=_commented(address)))
    config = parse_config({"store": {"url": store.url}}, path)
    return _with_monitors(head, config, path, tables)


def extended_config(path: Path, tables: Tables, environ: Mapping[str, str]) -> Starter:
    """Return an existing configuration with more monitors at its end.

    Args:
        path: The file.
        tables: The tables to write monitors for.
        environ: Variables that the file refers to.

    Raises:
        ConfigError: If the file is not a valid configuration.
        UsageError: If it has a monitor of that name already.
        PlumblineError: If a table cannot be read, or nothing in it can be watched.
    """
    if not tables.names:
        raise UsageError("Nothing to append. Name a table: plumbline init --append --table NAME.")
    config = load_config(path, environ)
    return _with_monitors(path.read_text(encoding="utf-8").rstrip("\n") + "\n", config, path, tables)


def _with_monitors(text: str, config: Config, path: Path, tables: Tables) -> Starter:
    store = config.store.url
    source = store if tables.source is None else _anchored(tables.source, path)
    address = "" if source == store or tables.source is None else _source_line(tables.source)
    engine = open_engine(source)
    taken, proposals = set(config.monitors), []
    try:
        for table in tables.names:
            _refuse_repeated(monitor_name(table), taken, path)
            proposals.append(propose_monitor(engine, table, tables.choices))
            taken.add(proposals[-1].name)
    finally:
        engine.dispose()
    sections = ["\n" + monitor_text(proposal, address) for proposal in proposals]
    return Starter(text + "".join(sections), tuple(proposals))


def _refuse_repeated(name: str, taken: set[str], path: Path) -> None:
    if name in taken:
        raise UsageError(
            f"{path.name} has a monitor {name!r} already. Rename that section, or write another file for this table."
        )


def _anchored(source: SecretStr, path: Path) -> SecretStr:
    """Return an address with a relative SQLite file anchored in the folder of the configuration."""
    return parse_config({"store": {"url": source.get_secret_value()}}, path).store.url


def _commented(lines: str) -> str:
    return "".join(f"# {line}" for line in lines.splitlines(keepends=True))


def _source_line(source: SecretStr) -> str:
    if has_password(source):
        return f'{_SECRET}source = "${{{SOURCE_VARIABLE}}}"\n'
    return f"source = {toml_text(source.get_secret_value())}\n"
