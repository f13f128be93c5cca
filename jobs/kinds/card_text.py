"""The card of a model as people read it, in a terminal or in Markdown: facts, sentences and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from detector.core.about import About


@dataclass(frozen=True)
class CardTable:
    """A table of a card.

    Attributes:
        columns: their names.
        rows: of values.
        title: in a terminal.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str | None = None


Paragraph: TypeAlias = str | CardTable | Mapping[str, Any]
"""A sentence, a table, or facts by name."""


class CardText(Protocol):
    """The text of the cards of one kind of model."""

    limits: str
    """The limits of models of this kind, as a paragraph for people."""

    def training_facts(self, card: Any) -> dict[str, Any]:
        """Return the facts that a training prints."""
        ...

    def training_advice(self, card: Any, monitor: str) -> Iterator[str]:
        """Yield the warnings that a training prints, with advice."""
        ...

    def details(self, card: Any, monitor: str) -> Iterator[str | CardTable]:
        """Yield the paragraphs that `models show` prints; models of earlier versions have fewer."""
        ...

    def sections(self, card: Any, manifest: Mapping[str, Any]) -> dict[str, list[Paragraph]]:
        """Return the sections on the model itself, by title, for Markdown."""
        ...


def origin(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings and the library versions that a model was trained with, for people."""
    versions = About.from_json(manifest.get("about", {})).versions
    return {
        "settings": ", ".join(f"{name} = {value}" for name, value in manifest.get("config", {}).items()),
        "made with": ", ".join(f"{name} {value}" for name, value in versions.items()),
    }
