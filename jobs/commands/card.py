"""Prints the card of a model: its numbers, and how it compares with simpler methods."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobs.kinds import kind_of_card
from jobs.wording import words

if TYPE_CHECKING:
    from detector.core.model_card import ModelCard
    from jobs.output import Output


def card_facts(card: "ModelCard") -> dict[str, Any]:
    """Return the numbers of a card that fit on a line each."""
    numbers = card.to_json().items()
    return {words(name): value for name, value in numbers if not isinstance(value, Mapping)}


def describe_card(out: "Output", card: "ModelCard", monitor: str) -> None:
    """Print the tables and the warnings of a card; models of earlier versions have fewer."""
    for paragraph in kind_of_card(card).card_text.details(card, monitor):
        if isinstance(paragraph, str):
            out.line(paragraph)
        else:
            out.table(paragraph.columns, paragraph.rows, paragraph.title)


def describe_training(out: "Output", card: "ModelCard", monitor: str) -> None:
    """Print the facts of a fresh model, and what to do about its weaknesses."""
    text = kind_of_card(card).card_text
    out.facts(text.training_facts(card))
    for advice in text.training_advice(card, monitor):
        out.line(advice)
