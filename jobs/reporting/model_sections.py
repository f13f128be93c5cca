"""The card of a stored model as sections of a report: its data, quality, comparison and limits."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from detector.core.about import TrainingRange
from jobs.kinds import kind_of_card
from jobs.kinds.card_text import CardTable, Paragraph
from jobs.store import StoredModel
from jobs.training.model_card import comparison_rows
from jobs.wording import utc

COMPARISON = "Comparison with the champion"
"""Name of the section on the numbers that decided."""


def model_sections(model: StoredModel) -> Mapping[str, Sequence[Paragraph]]:
    """Return the paragraphs on a model by section; models of earlier versions have fewer."""
    text, training = kind_of_card(model.card).card_text, model.about.training
    data = {
        "trained at": model.created_at,
        "records": training.records,
        "keys": training.keys,
        "times": _times(training),
        "trained on": model.card.training_records,
        "calibrated with": model.card.calibration_records,
        **{f"left out: {reason}": count for reason, count in sorted(training.left_out.items())},
    }
    return {
        "Data": [data],
        **text.sections(model.card, model.manifest),
        COMPARISON: _comparison(model),
        "Limits": [text.limits],
    }


def _times(training: TrainingRange) -> str | None:
    if training.first_time is None or training.last_time is None:
        return None
    return " to ".join(utc(datetime.fromisoformat(time)) for time in (training.first_time, training.last_time))


def _comparison(model: StoredModel) -> list[Paragraph]:
    report = model.comparison
    if report is None:
        return ["This model was not compared with a champion."]
    columns, rows = ("on the same records", "this model"), comparison_rows(report)
    if report.champion_id is None:
        table = CardTable(columns, [row[:2] for row in rows])
    else:
        table = CardTable((*columns, f"model {report.champion_id}"), rows)
    return [table, *report.notes, report.reason]
