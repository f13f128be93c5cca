"""The report of `check --source-conformance`."""

from typing import TYPE_CHECKING

from schemas.errors import SourceError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


def report_conformance(app: "App", out: "Output", monitor: str) -> None:
    """Print what of the database of a monitor works as a source.

    Raises:
        SourceError: If an aspect fails.
    """
    from jobs.conformance import IMPATIENT, check_conformance

    settings = app.config.monitor(monitor).model_copy(update={"series": None})
    limited = settings.timeouts.model_copy(update={"statement": IMPATIENT})
    impatient_settings = settings.model_copy(update={"timeouts": limited})
    outcomes = []
    with (
        app.open_source(monitor, settings) as source,
        app.open_source(monitor, impatient_settings) as impatient,
        out.progress(f"reading from the source of {monitor}") as update,
    ):
        for outcome in check_conformance(source, impatient):
            outcomes.append(outcome)
            update(len(outcomes), None, outcome.aspect)
    rows = [(outcome.aspect, outcome.level, outcome.detail) for outcome in outcomes]
    out.result({"monitor": monitor, "outcomes": outcomes}, lambda: out.table(("aspect", "result", "detail"), rows))
    failed = [outcome.aspect for outcome in outcomes if outcome.level == "fails"]
    if failed:
        raise SourceError(f"This source does not work as it is: {', '.join(failed)}. The details name the reasons.")
