"""The command `doctor`: diagnoses of a monitor, and checks of this machine."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import any_monitor_argument, only_monitor, with_app
from jobs.wording import counted_noun
from schemas.errors import BitsDiffer, ProblemsFound, UsageError

if TYPE_CHECKING:
    from detector.bit_check import BitCheck
    from jobs.app import App
    from jobs.output import Output


@click.command("doctor")
@any_monitor_argument
@click.option("--bits", "has_bits", is_flag=True, help="Check that a record gets the same bits in every batch.")
@with_app
def doctor_command(app: "App", out: "Output", monitor: str | None, has_bits: bool) -> None:
    """Diagnose a monitor: why nothing is flagged, or everything. Each reason has what to change; nothing is written.

    The exit code is 1 if there is a problem.

    With --bits, check this machine instead: every compiled kernel and both kinds of network compute the same records in
    many batches, at many places and in two threads, and every difference is reported. It takes about half a minute, and
    needs neither a configuration nor a database.
    """
    if has_bits and monitor is not None:
        raise UsageError("--bits checks this machine, not a monitor. Leave one of the two out.")
    if has_bits:
        _check_machine(out)
    else:
        _diagnose(app, out, monitor or only_monitor(app.config))


def _diagnose(app: "App", out: "Output", monitor: str) -> None:
    source, store = app.source(monitor), app.store
    from jobs.diagnosis import Case, diagnose

    case = Case(app.config, source, store, app.clock())
    problems = diagnose(case)
    flagged, scored = case.overview.anomalies, counted_noun(case.overview.records, "record")

    def describe() -> None:
        state = f"{flagged:,} of {scored} flagged" if case.overview.records else "no record is scored"
        out.line(f"Monitor {monitor!r}: {state}.{'' if problems else ' No problem found.'}")
        for number, problem in enumerate(problems, 1):
            out.line(f"\n{number}. {problem.message}\n   {problem.advice}")

    overview = {"records": case.overview.records, "anomalies": flagged}
    out.result({"monitor": monitor, **overview, "problems": problems}, describe)
    if problems:
        raise ProblemsFound(len(problems), monitor)


def _check_machine(out: "Output") -> None:
    from llvmlite.binding import get_host_cpu_name

    from detector.bit_check import check_bits

    checks = []
    with out.progress("Checking bits") as update:
        for check in check_bits():
            checks.append(check)
            update(len(checks), None, check.name)
    processor = get_host_cpu_name()
    differing = [check for check in checks if not check.is_equal]
    report = [{**vars(check), "is_equal": check.is_equal} for check in checks]
    out.result({"processor": processor, "checks": report}, lambda: _show(out, processor, checks))
    if differing:
        raise BitsDiffer(len(differing), len(checks), processor)


def _show(out: "Output", processor: str, checks: "list[BitCheck]") -> None:
    rows = [(check.name, "equal" if check.is_equal else "DIFFERS", check.largest_difference) for check in checks]
    out.table(("function", "bits", "largest difference"), rows, title=f"Processor: {processor}")
