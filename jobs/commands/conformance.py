"""The report of `check --source-conformance`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from schemas.errors import SourceError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.conformance.outcome import Level, Outcome
    from jobs.output import Output

_OTHERS: "Mapping[Level, str]" = {
    "limited": "limited, with the consequence that the detail names",
    "fails": "failed",
    "untried": "could not be tried",
}


def report_conformance(app: "App", out: "Output", monitor: str) -> None:
    """Print what of the database of a monitor works as a source.

    Raises:
        SourceError: If an aspect fails.
    """
    from jobs.addresses import display_name
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
    place = settings.table or "its query"
    title = f"Monitor {monitor!r}: {place} in {display_name(source.engine.url)}"

    def show() -> None:
        out.table(("aspect", "result", "detail"), rows, title)
        out.line(_summary(outcomes))

    out.result({"monitor": monitor, "outcomes": outcomes}, show)
    failed = [outcome.aspect for outcome in outcomes if outcome.level == "fails"]
    if failed:
        raise SourceError(f"This source does not work as it is: {', '.join(failed)}. The details name the reasons.")


def _summary(outcomes: "Sequence[Outcome]") -> str:
    """Return how many aspects work, and what the others mean."""
    counts = Counter(outcome.level for outcome in outcomes)
    others = [f"{counts[level]} {text}" for level, text in _OTHERS.items() if counts[level]]
    if not others:
        return f"All {len(outcomes)} aspects work: the database can be a source."
    return f"{counts['works']} of {len(outcomes)} aspects work; {', '.join(others)}."
