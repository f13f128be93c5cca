"""The command `doctor`: checks of this machine."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import json_option
from jobs.output import Output
from schemas.errors import BitsDiffer, UsageError

if TYPE_CHECKING:
    from detector.bit_check import BitCheck


@click.command("doctor")
@click.option("--bits", "has_bits", is_flag=True, help="Check that a record gets the same bits in every batch.")
@json_option
def doctor_command(is_json: bool, has_bits: bool) -> None:
    """Check this machine.

    With --bits, every compiled kernel and both kinds of network compute the same records in many batches, at many
    places and in two threads, and every difference is reported. It takes about half a minute, and needs neither a
    configuration nor a database.
    """
    if not has_bits:
        raise UsageError("Nothing to check. Expected an option: plumbline doctor --bits")
    from llvmlite.binding import get_host_cpu_name

    from detector.bit_check import check_bits

    out = Output(is_json=is_json)
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


def _show(out: Output, processor: str, checks: "list[BitCheck]") -> None:
    rows = [(check.name, "equal" if check.is_equal else "DIFFERS", check.largest_difference) for check in checks]
    out.table(("function", "bits", "largest difference"), rows, title=f"Processor: {processor}")
