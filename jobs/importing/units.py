"""Finds what stands around the numbers of a CSV column: a unit, as in ``$1,234.50``, or brackets and gaps."""

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_CURRENCIES = "€$£¥"
_SYMBOLS = _CURRENCIES + "%‰"
_GAP = "[ '\u2019\u00a0\u202f]"  # between thousands; the last two are spaces without a line break
_NUMBER = rf"([1-9][0-9]{{0,2}}({_GAP}[0-9]{{3}})+([.,][0-9]+)?|[0-9][0-9.,]*|[.,][0-9]+)"
_WORD = "[A-Za-zµΩ°][A-Za-zµΩ°/²³]{0,5}"
_CELL = re.compile(
    rf"\(?[+-]?(?P<before>[{_SYMBOLS}])?{_GAP}?[+-]?(?P<number>{_NUMBER})"
    rf"(?P<behind>{_GAP}?[{_SYMBOLS}]|{_GAP}{_WORD}|°[A-Z]?|{_WORD})?\)?"
)


@dataclass(frozen=True)
class Unit:
    """A unit that stands before or behind each number of a column.

    Attributes:
        before: the unit before the number; empty if there is none.
        behind: the unit behind it; empty if there is none. With neither, numbers have gaps between thousands, or
            brackets around negative ones.
    """

    before: str = ""
    behind: str = ""

    @property
    def note(self) -> str:
        """What a person should know about the column."""
        name = self.before or self.behind
        return f"numbers in {name}" if name else "numbers with gaps between thousands or negative ones in brackets"

    @property
    def is_currency(self) -> bool:
        """Whether it is the symbol of a currency, whose numbers have no three decimals."""
        return (self.before or self.behind or " ") in _CURRENCIES

    def is_around(self, cells: pa.Array) -> bool:
        """Return whether each cell is a number with this unit."""
        before, behind = re.escape(self.before), re.escape(self.behind)
        number = rf"{before}{_GAP}?[+-]?{_NUMBER}{_GAP}?{behind}"
        return bool(pc.all(pc.match_substring_regex(cells, rf"^([+-]?{number}|\({number}\))$")).as_py())

    def removed(self, cells: pa.Array) -> pa.Array:
        """Return the numbers alone; those in brackets are negative."""
        cells = pc.replace_substring_regex(cells, r"^\((.*)\)$", r"-\1")
        for text in filter(None, [self.before, self.behind]):
            cells = pc.replace_substring(cells, text, "")
        return pc.replace_substring_regex(cells, _GAP, "")


GROUPED = Unit()


def unit_of(cell: str) -> Unit:
    """Return the unit of a cell; letters right behind a whole number are none, since 12B may be a code.

    >>> unit_of("$1,234.50"), unit_of("12.5 kg"), unit_of("12B")
    (Unit(before='$', behind=''), Unit(before='', behind='kg'), Unit(before='', behind=''))
    """
    match = _CELL.fullmatch(cell)
    if match is None or (match["before"] and match["behind"]):
        return GROUPED
    behind = match["behind"] or ""
    is_code = behind[:1].isalpha() and match["number"].isdigit()
    return GROUPED if is_code else Unit(match["before"] or "", re.sub(_GAP, "", behind))
