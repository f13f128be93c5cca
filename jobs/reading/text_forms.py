"""Recognises numbers and times that a table keeps as texts, and texts that mark missing values."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

MISSING_MARKERS = frozenset(
    {"na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "\\n", "-", "--", "?", "."}  # in lower case
)
"""Texts that stand for a missing value in a column of numbers, booleans or times."""

_MIN_SHARE = 0.9  # of the texts, from which on a column counts as numbers or times
_MAX_CODES = 20  # distinct whole numbers that records share are codes, such as 200 and 404
_RECORDS_PER_CODE = 5

_NUMBER = re.compile(
    r"(?P<prefix>[€$£]?)\s*[+-]?(\d{1,15}|\d{1,3}([., '’]\d{3})+)?([.,]\d+)?([eE][+-]?\d+)?"  # noqa: RUF001
    r"(?P<suffix>\s*[%‰€$£°][A-Za-z]?|\s*[A-Za-zµ/]{1,6}[²³]?)?"
)
_CODE = re.compile(r"[+-]?0[0-9xX]|\+\d{7}|\d+[eE]\d")
_ID = re.compile(r"[+-]?\d{16,}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-.*")
_TIME = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))([T ]\s*\d{1,2}:\d{2}.*)?|\d{8}T\d{4,6}.*"
)


@dataclass(frozen=True)
class Disguise:
    """Numbers or times that a column keeps as texts.

    Attributes:
        kind: of the values.
        example: one of the texts.
        share: of the texts that have this form.
        exception: a text of another form; None if there is none.
    """

    kind: Literal["numbers", "times"]
    example: str
    share: float
    exception: str | None

    @property
    def description(self) -> str:
        """A noun phrase for messages, with an example and an exception."""
        phrase = f"texts that look like {self.kind}, such as {self.example!r}"
        return phrase if self.exception is None else f"{phrase}, among others such as {self.exception!r}"


def disguise_of(texts: Iterable[str]) -> Disguise | None:
    """Return the numbers or times that a sample of texts consists of, or None.

    Codes are texts: numbers with leading zeros or of more than 15 digits, and a few whole numbers that records share.

    >>> disguise_of(["12,5", "13,1", "NA"])
    Disguise(kind='numbers', example='12,5', share=1.0, exception=None)
    >>> disguise_of(["00123", "00456"]), disguise_of(["ok", "late"]), disguise_of(["200", "404"] * 50)
    (None, None, None)
    """
    present = [text for text in map(str.strip, texts) if text and text.lower() not in MISSING_MARKERS]
    if not present:
        return None
    is_time = [_TIME.fullmatch(text) is not None for text in present]
    if sum(is_time) >= _MIN_SHARE * len(present):
        return _disguise("times", present, is_time)
    if _are_codes(present):
        return None
    is_number = _numbers(present)
    return _disguise("numbers", present, is_number) if sum(is_number) >= _MIN_SHARE * len(present) else None


def _disguise(kind: Literal["numbers", "times"], texts: Sequence[str], is_kind: Sequence[bool]) -> Disguise:
    own = [text for text, is_own in zip(texts, is_kind, strict=True) if is_own]
    others = [text for text, is_own in zip(texts, is_kind, strict=True) if not is_own]
    telling = next((text for text in own if not text.isdigit()), own[0])
    return Disguise(kind, telling, len(own) / len(texts), others[0] if others else None)


def _are_codes(texts: Sequence[str]) -> bool:
    if any(_CODE.match(text) or _ID.fullmatch(text) for text in texts):
        return True
    distinct = set(texts)
    are_whole = all(text.isdigit() for text in distinct)
    return are_whole and len(distinct) <= _MAX_CODES and len(texts) >= _RECORDS_PER_CODE * len(distinct)


def _numbers(texts: Sequence[str]) -> list[bool]:
    """Return which texts are numbers, all with the unit of most of them."""
    matches = [_NUMBER.fullmatch(text) if any(map(str.isdigit, text)) else None for text in texts]
    units = Counter((match["prefix"], (match["suffix"] or "").strip()) for match in matches if match)
    unit = units.most_common(1)[0][0] if units else None
    return [match is not None and (match["prefix"], (match["suffix"] or "").strip()) == unit for match in matches]
