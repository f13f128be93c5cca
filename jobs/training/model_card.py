"""The model card in Markdown: the data, the quality and the limits of a model."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detector.core.about import About
from detector.core.comparison import ComparisonReport, Performance
from detector.core.model_card import ModelCard
from jobs.kinds import kind_of_card
from jobs.kinds.card_text import CardTable, Paragraph
from jobs.wording import percent, shown

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#|~!&$])")
_LABELLED_TITLES = {
    "confirmed": "confirmed anomalies flagged",
    "labelled": "anomalies of the label column flagged",
    "flagged": "flagged records that nobody labelled as normal, flagged again",
    "incidents": "incidents that nobody labelled as normal, flagged again",
    "false_alarms": "false alarms flagged again",
}


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card is written from.

    Attributes:
        monitor: the monitor's name.
        manifest: of the artifact.
        card: the numbers of the model.
        comparison: with the champion, the decision and its reason.
    """

    monitor: str
    manifest: Mapping[str, Any]
    card: ModelCard
    comparison: ComparisonReport


def render_card(facts: CardFacts) -> str:
    """Write the card of a model; names and values from the data appear as plain text, whatever markup they contain."""
    text = kind_of_card(facts.card).card_text
    sections: dict[str, list[Paragraph]] = {
        "Data": _data(facts),
        **text.sections(facts.card, facts.manifest),
        "Comparison with the champion": _champion(facts.comparison),
        "Decision": [plain(facts.comparison.reason)],
        "Limits": [text.limits],
    }
    lines = [f"# Model card of monitor {plain(facts.monitor)}"]
    for title, paragraphs in sections.items():
        lines += [f"## {title}", *filter(None, map(_markdown, paragraphs))]
    return "\n\n".join(lines) + "\n"


def plain(value: Any) -> str:
    r"""Return a value as text that Markdown shows literally.

    >>> print(plain("a|b <i>"))
    a\|b \<i\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def comparison_rows(report: ComparisonReport) -> list[tuple[str, Any, Any]]:
    """Return the numbers of a comparison: name, the new model's value, the champion's; None if a model has none."""
    kinds = sorted({kind for side in (report.challenger, report.champion) if side is not None for kind in side.auroc})
    numbers: dict[str, Callable[[Performance], Any]] = {
        "held-out normal records": lambda side: side.records or None,
        "held-out normal records flagged": lambda side: side.flagged if side.records else None,
        "a sound model flags": _tolerance,
        "ELBO, nats per record in the data's units": lambda side: side.elbo,
        **{name: _flagged_count(kind) for kind, name in _LABELLED_TITLES.items()},
        **{f"AUROC on synthetic anomalies, {kind}": _auroc(kind) for kind in kinds},
        **{f"synthetic anomalies flagged, {kind}": _recall(kind) for kind in kinds},
        "fault": lambda side: side.fault,
    }
    champion = report.champion
    rows = [
        (name, read(report.challenger), None if champion is None else read(champion)) for name, read in numbers.items()
    ]
    return [(name, new, old) for name, new, old in rows if new is not None or old is not None]


def _flagged_count(kind: str) -> Callable[[Performance], str | None]:
    def read(side: Performance) -> str | None:
        counts = side.found.get(kind)
        return None if counts is None else f"{counts.flagged:,} of {counts.records:,}"

    return read


def _auroc(kind: str) -> Callable[[Performance], float | None]:
    return lambda side: side.auroc.get(kind)


def _recall(kind: str) -> Callable[[Performance], float | None]:
    return lambda side: side.recall.get(kind)


def _tolerance(side: Performance) -> str | None:
    if not side.records or side.tolerance is None:
        return None
    low, high = side.tolerance
    return f"{low:,} to {high:,}"


def _data(facts: CardFacts) -> list[Paragraph]:
    training, card = About.from_json(facts.manifest["about"]).training, facts.card
    left_out = [f"- {count:,} {reason}" for reason, count in sorted(training.left_out.items())]
    numbers = {
        "records": training.records,
        "keys": training.keys,
        "times": training.times,
        "trained on": card.training_records,
        "calibrated with": card.calibration_records,
        "held out for the comparison": facts.comparison.records,
    }
    listed = "Normal records that were left out:\n\n" + "\n".join(left_out)
    return [numbers, listed if left_out else "No normal record was left out."]


def _champion(report: ComparisonReport) -> list[Paragraph]:
    champion = "no champion" if report.champion_id is None else f"model {report.champion_id}"
    rate = "" if report.rate is None else f"The requested false-positive rate is {percent(report.rate)}."
    table = CardTable(("on the same records", "this model", champion), comparison_rows(report))
    return [rate, table, *map(plain, report.notes)]


def _markdown(paragraph: Paragraph) -> str:
    if isinstance(paragraph, str):
        return paragraph
    if isinstance(paragraph, CardTable):
        return _table(paragraph.columns, paragraph.rows)
    return "\n".join(f"- {name}: {plain(shown(value))}" for name, value in paragraph.items() if value is not None)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([plain(shown(value)) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
