"""init, check, migrate, import: from nothing to a table that can be trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from jobs.commands.options import counted, json_option, with_app
from schemas.errors import PlumblineError, RecordsError, UsageError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=Path("config.toml"))
@click.option("--table", help="Write a monitor for this table, its columns sorted by type.")
@click.option("--source", help="SQLAlchemy address of the table's database [default: the store's].")
@click.option("--key", help="The table's key [default: its primary key].")
@json_option
def init_command(path: Path, table: str | None, source: str | None, key: str | None, is_json: bool) -> None:
    """Write a starter configuration, for a table of yours if it is named."""
    from pydantic import SecretStr

    from jobs.output import Output
    from jobs.starter.starter import starter_config

    if path.exists():
        raise UsageError(f"{path} exists already. Name another file, or remove that one first.")
    text = starter_config(path.absolute().parent, table, SecretStr(source) if source else None, key)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}. Choose a folder that can be.") from exc
    out = Output(is_json=is_json)
    out.result({"path": str(path)}, lambda: out.say(f"Wrote {path}. Read it through, then: plumbline check"))


@click.command("check")
@click.argument("monitor", metavar="[MONITOR]", required=False)
@with_app
def check_command(app: "App", out: "Output", monitor: str | None) -> None:
    """Compare the configuration with the live database, before anything runs."""
    from jobs.checks import Finding, check_monitor, check_service

    names = [monitor] if monitor else list(app.config.monitors)
    if not names:
        raise UsageError("The configuration has no monitor. Add a [monitors.NAME] section; see: plumbline init --help")
    findings: dict[str, list[Finding]] = {}
    if wrong := list(check_service(app.config)):
        findings["service"] = wrong
    for name in names:
        try:
            findings[name] = check_monitor(name, app.config.monitor(name), app.source(name))
        except UsageError:
            raise
        except PlumblineError as exc:
            findings[name] = [Finding("error", str(exc))]
    rows = [(name, finding.level, finding.message) for name, listed in findings.items() for finding in listed]
    out.result(findings, lambda: out.say("\n".join(f"{level:8}{name}: {message}" for name, level, message in rows)))
    errors = sum(level == "error" for _, level, _ in rows)
    if errors:
        count = "1 of the findings is an error" if errors == 1 else f"{errors} of the findings are errors"
        raise RecordsError(f"{count}. Mend what is wrong before you train.")


@click.command("migrate")
@click.option("--to", "revision", help="Go to this revision, back too; that drops what later ones added.")
@with_app
def migrate_command(app: "App", out: "Output", revision: str | None) -> None:
    """Create the store's tables and views, or bring them up to date."""
    from jobs.store.migrations import current, head, move

    move(app.engine, revision or head())
    revision = current(app.engine)
    out.result({"revision": revision}, lambda: out.say(f"The store is at revision {revision}."))


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--table", required=True, help="The table to write, schema.table if not in the default schema.")
@click.option("--key", default="id", show_default=True, help="The key; added as a growing number if not in the file.")
@click.option("--into", help="SQLAlchemy address of the database [default: the store's].")
@click.option("--if-exists", type=click.Choice(["fail", "append", "replace"]), default="fail", show_default=True)
@with_app
def import_command(
    app: "App",
    out: "Output",
    file: Path,
    table: str,
    key: str,
    into: str | None,
    if_exists: Literal["fail", "append", "replace"],
) -> None:
    """Copy a CSV or Parquet FILE into a table, all of it or nothing."""
    from pydantic import SecretStr

    from jobs.importing.importing import import_file
    from jobs.importing.reserved import refuse_own_name

    if into is None:  # where `migrate` has not run yet, the database does not show that it is the store's
        refuse_own_name(table)
    engine = app.open(SecretStr(into)) if into else app.engine
    with counted(out, f"importing {file.name}") as progress:
        report = import_file(file, engine, table, key=key, if_exists=if_exists, progress=progress)
    added = ", numbered by the database" if report.is_key_added else ""
    zones = f" Times without a zone were taken as UTC: {', '.join(report.naive_times)}." if report.naive_times else ""
    out.result(
        report,
        lambda: out.say(f"Imported {report.rows:,} records into {report.table} (key {report.key}{added}).{zones}"),
    )
