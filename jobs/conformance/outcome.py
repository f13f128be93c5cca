"""What is known of one aspect of a source."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["works", "limited", "fails", "untried"]


@dataclass(frozen=True)
class Outcome:
    """How an aspect of a source behaves.

    Attributes:
        aspect: Its name.
        level: limited: Plumbline works without it, with the consequence that the detail names; untried: what it needs
            fails, and is reported once.
        detail: What was seen.
    """

    aspect: str
    level: Level
    detail: str


@dataclass(frozen=True)
class Seen:
    """What one check saw, before it has the name of its aspect."""

    level: Level
    detail: str


def as_expected(detail: str, *, if_not: str, is_met: bool) -> Seen:
    """Return that an aspect works if an expectation is met, and fails otherwise."""
    return Seen("works", detail) if is_met else Seen("fails", if_not)
