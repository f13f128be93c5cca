"""The commands `init`, `check`, `migrate` and `import`: the steps before the first training."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from jobs.commands.conformance import report_conformance
from jobs.commands.editor_schema import write_schema
from jobs.commands.options import (
    NO_MONITOR,
    any_monitor_argument,
    counted_progress,
    json_option,
    only_monitor,
    with_app,
)
from jobs.status_texts import stored_settings_note
from jobs.wording import counted_noun
from schemas.errors import ConfigError, PlumblineError, RecordsError, StoreError, UsageError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.checks import Finding
    from jobs.output import Output
    from jobs.starter.starter import Starter


_CONFIG = Path("config.toml")


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=_CONFIG)
@click.option("--table", "tables", multiple=True, help="Include a monitor for this table; repeatable.")
@click.option("--source", help="SQLAlchemy URL of the table's database [default: the store].")
@click.option(
    "--key",
    multiple=True,
    help="Key column of the table, repeatable or separated by commas [default: the primary key, growing column first].",
)
@click.option("--time", help="Column with the time of a record [default: by name and values].")
@click.option("--entity", help="Column with what a record is about [default: by name and values].")
@click.option("--label", help="Column that is true for known anomalies [default: by name and values].")
@click.option("--append", is_flag=True, help="Add the monitor to an existing file.")
@click.option("--schema", "is_schema", is_flag=True, help="Write the JSON Schema of configurations, for editors.")
@json_option
def init_command(
    path: Path,
    tables: tuple[str, ...],
    source: str | None,
    key: tuple[str, ...],
    time: str | None,
    entity: str | None,
    label: str | None,
    append: bool,
    is_schema: bool,
    is_json: bool,
) -> None:
    """Write a starter configuration, with a monitor for each --table."""
    import os

    from pydantic import SecretStr

    from jobs.output import Output
    from jobs.starter.proposing import Choices
    from jobs.starter.starter import Tables, extended_config, starter_config

    if is_schema:
        write_schema(None if path == _CONFIG else path, Output(is_json=is_json))
        return
    choices = Choices(key, time, entity, label)
    if len(tables) > 1 and choices != Choices():
        raise UsageError("--key, --time, --entity and --label are about one table. Add one table at a time: --append.")
    request = Tables(tables, SecretStr(source) if source else None, choices)
    if path.exists() and not append:
        raise UsageError(f"{path} already exists. Choose another file, remove it first, or add to it with --append.")
    place = path.absolute()
    starter = (
        extended_config(place, request, os.environ) if append and path.exists() else starter_config(place, request)
    )
    try:
        path.write_text(starter.text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}. Choose a writable folder.") from exc
    _report_starter(Output(is_json=is_json), path, starter, has_source=source is not None)


def _report_starter(out: "Output", path: Path, starter: "Starter", *, has_source: bool) -> None:
    """Print the file, and the settings of each monitor that a person should look at."""
    from jobs.starter.review import settings_to_review

    reviews = {proposal.name: settings_to_review(proposal) for proposal in starter.proposals}

    def show() -> None:
        for name, settings in reviews.items():
            out.line(f"Monitor {name!r}. Look at these settings:")
            width = max(len(setting.name) for setting in settings)
            for setting in settings:
                out.line(f"  {setting.name.ljust(width)}  {setting.note}")
        out.line(f"Wrote {path}. {_next_step(path, has_monitors=bool(reviews), has_source=has_source)}")

    monitors = {name: {setting.name: setting.note for setting in settings} for name, settings in reviews.items()}
    out.result({"path": str(path), "monitors": monitors}, show)


def _next_step(path: Path, *, has_monitors: bool, has_source: bool) -> str:
    """Return what to run after `init`, with the file unless it is the one that commands read by default."""
    file = "" if path == _CONFIG else shlex.quote(str(path))
    if has_monitors:
        return f"Review it, then run: plumbline check{file and f' --config {file}'}"
    source = " --source URL" if has_source else ""
    return f"Add a monitor for a table: plumbline init{file and f' {file}'} --append --table NAME{source}"


@click.command("check")
@any_monitor_argument
@click.option(
    "--source-conformance",
    "is_about_source",
    is_flag=True,
    help="Try what of the source's database works, by reading alone; for databases that are not tested.",
)
@with_app
def check_command(app: "App", out: "Output", monitor: str | None, is_about_source: bool) -> None:
    """Check the configuration against the live database."""
    from jobs.checks import Finding, check_country, check_monitor, check_service

    if is_about_source:
        report_conformance(app, out, monitor or only_monitor(app.config))
        return

    names = [monitor] if monitor else list(app.config.monitors)
    if not names:
        raise UsageError(NO_MONITOR)
    findings: dict[str, list[Finding]] = {}
    if service_findings := list(check_service(app.config)):
        findings["service"] = service_findings
    for name in names:
        try:
            findings[name] = check_monitor(name, app.config.monitor(name), app.configured_source(name))
            findings[name] += [*check_country(app.config.monitor(name), app.clock()), *_stored_settings(app, name)]
        except UsageError:
            raise
        except PlumblineError as exc:
            findings[name] = [Finding("error", str(exc))]
    rows = [(name, finding.level, finding.message) for name, listed in findings.items() for finding in listed]
    out.result(findings, lambda: out.line("\n".join(f"{level:8}{name}: {message}" for name, level, message in rows)))
    errors = sum(level == "error" for _, level, _ in rows)
    if errors:
        count = counted_noun(errors, "error")
        raise RecordsError(f"The check found {count}. Fix the configuration or the table before you train.")


def _stored_settings(app: "App", name: str) -> "list[Finding]":
    """Return a warning about settings that are stored in place of those of the configuration; none without a store."""
    from jobs.checks import Finding
    from jobs.settings_in_force import with_tuning

    try:
        stored = app.store.tunings.get(name)
    except StoreError:
        return []
    if stored is None:
        return []
    try:
        with_tuning(app.store, name, app.config.monitor(name))
    except ConfigError as exc:
        return [Finding("error", str(exc))]
    return [Finding("warning", f"{stored_settings_note(stored)} See: plumbline tune show {name}")]


@click.command("migrate")
@click.option("--to", "revision", help="Target revision; an earlier one drops what later revisions added.")
@with_app
def migrate_command(app: "App", out: "Output", revision: str | None) -> None:
    """Create or upgrade the store's tables and views."""
    from jobs.store.migrations import current, head, move

    move(app.engine, revision or head())
    revision = current(app.engine)
    out.result({"revision": revision}, lambda: out.line(f"The store is at revision {revision}."))


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--table", required=True, help="Table to write; schema.table if it is not in the default schema.")
@click.option(
    "--key", default="id", show_default=True, help="Key column; numbered by the database if it is not in the file."
)
@click.option("--into", help="SQLAlchemy URL of the database [default: the store].")
@click.option(
    "--if-exists",
    type=click.Choice(["fail", "append", "replace"]),
    default="fail",
    show_default=True,
    help="What to do if the table exists.",
)
@click.option("--null", "nulls", multiple=True, help="Cell of a CSV file to read as missing, such as -999; repeatable.")
@with_app
def import_command(
    app: "App",
    out: "Output",
    file: Path,
    table: str,
    key: str,
    into: str | None,
    if_exists: Literal["fail", "append", "replace"],
    nulls: tuple[str, ...],
) -> None:
    """Import a CSV or Parquet FILE into a table. All of it is imported, or nothing."""
    from pydantic import SecretStr

    from jobs.importing.importing import FileReading, import_file
    from jobs.importing.reserved import refuse_own_name

    if into is None:  # before `migrate`, the database does not show that it is the store
        refuse_own_name(table)
    engine = app.open(SecretStr(into)) if into else app.engine
    with counted_progress(out, f"importing {file.name}") as progress:
        report = import_file(file, engine, table, key=key, if_exists=if_exists, how=FileReading(nulls, progress))
    added = ", numbered by the database" if report.is_key_added else ""
    zones = (
        f" Times without a time zone were read as UTC: {', '.join(report.naive_times)}." if report.naive_times else ""
    )
    records = counted_noun(report.rows, "record")
    remarks = "".join(f" {remark}" for remark in report.remarks)
    sentence = f"Imported {records} into {report.table} (key {report.key}{added}).{remarks}{zones}"

    def show() -> None:
        out.line(sentence)
        rows = [(name, type_, "; ".join(report.notes.get(name, ()))) for name, type_ in report.columns.items()]
        out.table(("column", "type", "note"), rows)

    out.result(report, show)
