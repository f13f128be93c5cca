"""Infers how to read the cells of a CSV column: as whole numbers, decimals, booleans, times or texts.

A column gets the first form that all of its cells have. A cell that only marks a missing value, such as ``NA``, is null
in a column of numbers, booleans or times, and a text in a column of texts.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from jobs.importing.units import GROUPED, Unit, unit_of
from jobs.reading.text_forms import MISSING_MARKERS, disguise_of
from jobs.wording import counted_noun

INTEGER = pa.int64()
DECIMAL = pa.float64()
BOOLEAN = pa.bool_()
TIME = pa.timestamp("us", "UTC")
NAIVE_TIME = pa.timestamp("us")
TEXT = pa.string()
EMPTY = pa.null()

Mark: TypeAlias = Literal[",", "."] | None

_MIN_ALIKE = 20  # cells of numbers or times, by which one of another form is an exception
_TOTAL = re.compile(
    r"(grand |sub)?totals?\b|sum\b|summe\b|gesamt|average\b|mean\b|avg\b|mittelwert\b|durchschnitt\b|count\b|anzahl\b|"
    r"(end|eof)\b|\(\d+ rows",
    re.IGNORECASE,
)  # how a last line begins that is no record
_MAX_EXAMPLES = 1_000  # cells of a column of texts that are looked at to describe it
_MARKERS = pa.array(sorted(MISSING_MARKERS))
_NUMBERS = (INTEGER, DECIMAL)

_CODE = r"^[+-]?0[0-9xX]|^\+[0-9]{7,}$|^\+[0-9]+ [0-9]"  # 00123, 0x7b or +49 170 1234, which a number would change
_POSSIBLE_CODE = r"^\+[0-9]+$|^[0-9]+[eE][0-9]+$"  # +49 or 1E5: codes, unless other cells show measurements
_MEASUREMENT = r"^[+-]?[0-9]*[.,][0-9]|^-[0-9]|[0-9][eE][+-]"
_LONG_NUMBER = r"^[+-]?[0-9]{16,}([.,][0-9]*)?$"
_GROUPS = r"[0-9],[0-9]{3}(,[0-9]{3})+|[0-9],[0-9]{3}\.[0-9]"  # commas that can only separate thousands


@dataclass(frozen=True)
class CellForm:
    """A way to write the values of a type.

    Attributes:
        kind: the type.
        pattern: of the cells, as a regular expression; empty for any cell that can be cast.
        replacements: patterns and texts that make a cell castable, in turn.
        note: what a person should know about the form; empty if it is plain.
        unit: around the number, which is removed first; None for other cells.
        is_ambiguous: whether only cells such as 1,234.50, which have no other meaning, give a column this form.
        has_decimal_comma: whether a comma separates decimals, and dots the thousands.
    """

    kind: pa.DataType
    pattern: str = ""
    replacements: tuple[tuple[str, str], ...] = ()
    note: str = ""
    unit: Unit | None = None
    is_ambiguous: bool = False
    has_decimal_comma: bool = False

    def read(self, cells: pa.Array) -> pa.Array:
        """Return cells as values of the type; a marker of a missing value is null.

        Raises:
            pyarrow.ArrowInvalid: If a cell does not have this form.
        """
        return self._cast(without_markers(pc.utf8_trim_whitespace(cells)))

    def fits(self, cells: pa.Array) -> bool:
        """Return whether all cells have this form; none of them is null or has spaces around it."""
        if self.unit is not None:
            return self.unit.is_around(cells) and replace(self, unit=None).fits(self.unit.removed(cells))
        if self.pattern and not pc.all(pc.match_substring_regex(cells, self.pattern)).as_py():
            return False
        try:
            self._cast(cells)
        except pa.ArrowInvalid:
            return False
        return True

    def includes(self, other: "CellForm") -> bool:
        """Return whether each cell of another form certainly has this form too."""
        if self.kind not in _NUMBERS or self.unit not in (other.unit, GROUPED):
            return False
        is_plain = not self.pattern and not other.pattern
        return other.kind == INTEGER or (self.kind == other.kind == DECIMAL and is_plain)

    def _cast(self, values: pa.Array) -> pa.Array:
        if values.null_count == len(values):
            return pa.nulls(len(values), self.kind)
        if self.unit is not None:
            values = self.unit.removed(values)
        for pattern, replacement in self.replacements:
            values = pc.replace_substring_regex(values, pattern, replacement)
        return pc.cast(values, self.kind, safe=self.kind == INTEGER)


def without_markers(cells: pa.Array) -> pa.Array:
    """Return cells, null if they are empty or only mark a missing value."""
    is_missing = pc.or_(pc.is_in(pc.utf8_lower(cells), _MARKERS), pc.equal(cells, ""))
    return pc.if_else(is_missing, pa.scalar(None, TEXT), cells)


_TIME_OF_DAY = r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?[AaPp][Mm])?)?$"
_HALVES_OF_DAY = (
    (r"[ T]12(:[0-9:.,]+) ?[Aa][Mm]$", r" 00\1"),
    *((rf"[ T]0?{hour}(:[0-9:.,]+) ?[Pp][Mm]$", rf" {hour + 12}\1") for hour in range(1, 12)),
    (r"([ T](0?[1-9]|1[01]):[0-9:.,]+) ?[Aa][Mm]$|([ T]12:[0-9:.,]+) ?[Pp][Mm]$", r"\1\3"),
)
_CASTABLE_TIME = (
    *_HALVES_OF_DAY,
    (r"([ T])([0-9]):", r"\10\2:"),  # RE2 reads one digit after the backslash
    (r"(:[0-9]{2}),", r"\1."),
    (r"(\.[0-9]{6})[0-9]+", r"\1"),  # cut to microseconds
)


def _day_and_month(mark: str, result: str, note: str) -> CellForm:
    """Return the form of a date that begins with two numbers of one or two digits, and ends with the year."""
    padded = ((rf"^([0-9])[{mark}]", rf"0\1{mark}"), (rf"^([0-9]{{2}})[{mark}]([0-9])[{mark}]", rf"\1{mark}0\2{mark}"))
    swapped = (rf"^([0-9]{{2}})[{mark}]([0-9]{{2}})[{mark}]([0-9]{{4}})", result)
    pattern = rf"^[0-9]{{1,2}}[{mark}][0-9]{{1,2}}[{mark}][0-9]{{4}}{_TIME_OF_DAY}"
    return CellForm(NAIVE_TIME, pattern, (*padded, swapped, *_CASTABLE_TIME), note)


AS_TEXT = CellForm(TEXT)
DECIMAL_COMMA = CellForm(
    DECIMAL,
    r"^[+-]?([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+)(,[0-9]+)?([eE][+-]?[0-9]+)?$",
    ((r"\.", ""), (",", ".")),
    "decimal commas",
    has_decimal_comma=True,
)
_THOUSANDS = CellForm(
    DECIMAL,
    r"^[+-]?([0-9]+|[1-9][0-9]{0,2}(,[0-9]{3})+)(\.[0-9]+)?$",
    ((",", ""),),
    "commas between thousands",
    is_ambiguous=True,
)
_DAY_FIRST = _day_and_month("/", r"\3-\2-\1", "day/month/year")
_MONTH_FIRST = _day_and_month("/", r"\3-\1-\2", "month/day/year")
_NUMBER_FORMS = (CellForm(INTEGER), CellForm(DECIMAL), DECIMAL_COMMA, _THOUSANDS)
_FORMS = (
    *_NUMBER_FORMS,
    CellForm(BOOLEAN),
    CellForm(NAIVE_TIME, replacements=_CASTABLE_TIME),
    CellForm(TIME, replacements=_CASTABLE_TIME),
    _day_and_month(".", r"\3-\2-\1", "day.month.year"),
    _DAY_FIRST,
    _MONTH_FIRST,
    CellForm(
        NAIVE_TIME,
        rf"^[0-9]{{4}}/[0-9]{{1,2}}/[0-9]{{1,2}}{_TIME_OF_DAY}",
        (
            (r"^([0-9]{4})/([0-9])/", r"\1/0\2/"),
            (r"^([0-9]{4}/[0-9]{2})/([0-9])([ T]|$)", r"\1/0\2\3"),
            (r"^([0-9]{4})/([0-9]{2})/", r"\1-\2-"),
            *_CASTABLE_TIME,
        ),
        "year/month/day",
    ),
    CellForm(NAIVE_TIME, r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$", ((r"$", "-01"),), "months, as their first days"),
    CellForm(
        NAIVE_TIME,
        r"^[0-9]{8}T[0-9]{6}$",
        ((r"^(....)(..)(..)T(..)(..)(..)$", r"\1-\2-\3T\4:\5:\6"),),
        "times without punctuation",
    ),
)


@dataclass(frozen=True)
class ColumnForm:
    """How a column is read.

    Attributes:
        form: of its cells.
        notes: what a person should know about it.
        is_blank: whether no cell holds more than a marker of a missing value.
    """

    form: CellForm
    notes: tuple[str, ...]
    is_blank: bool


@dataclass(frozen=True)
class _Exception:
    """The first cell that is no number or time in a column of them.

    Attributes:
        cell: that it is; empty if there is none.
        place: how many cells of the column end with it, missing ones aside.
    """

    cell: str
    place: int


class ColumnInference:
    """Finds the form of a column, block by block.

    Args:
        delimiter: of the file; a comma rules out decimal commas.
    """

    def __init__(self, delimiter: str) -> None:
        self._may_have_decimal_commas = delimiter != ","
        self._forms = self._possible(_FORMS)
        self._examples: list[str] = []
        self._markers, self._marker, self._is_blank = 0, "", True
        self._code, self._possible_code, self._long_number = "", "", ""
        self._is_measurement = self._has_groups = False
        self._seen, self._exception = 0, _Exception("", 0)
        self._last: str | None = None

    def add(self, cells: pa.Array) -> None:
        """Take the next cells of the column into account."""
        present = pc.drop_null(cells)
        self._last = cells[-1].as_py() if len(cells) else self._last
        missing = max(_MAX_EXAMPLES - len(self._examples), 0)
        self._examples += present.slice(0, missing).to_pylist()
        self._seen += len(present)
        if not self._forms:
            return
        present = pc.utf8_trim_whitespace(present)
        values = pc.drop_null(without_markers(present))
        if len(values) < len(present):
            self._markers += len(present) - len(values)
            self._marker = self._marker or _first(present, pc.is_in(pc.utf8_lower(present), _MARKERS))
        if len(values):
            if self._is_blank:
                self._forms += self._possible(_with_unit(unit_of(values[0].as_py())))
            self._is_blank = False
            self._narrow(values)

    @property
    def footer(self) -> str:
        """The last cell, if it alone hinders that the column holds numbers or times, and begins like a total."""
        cell = self._exception.cell
        is_last = self._exception.place == self._seen and (self._last or "").strip() == cell
        return cell if is_last and _TOTAL.match(cell) else ""

    @property
    def decimal_mark(self) -> Mark:
        """What certainly separates the decimals of the cells; None if they have none, or may be read in both ways."""
        has_comma = self._has_comma
        if not has_comma or (any(has_comma) and not all(has_comma)):
            return None
        return "," if has_comma[0] else "."

    @property
    def is_unclear(self) -> bool:
        """Whether the commas of the cells may separate decimals or thousands, as in 1,234."""
        is_plain = any(not form.pattern for form in self._forms if form.kind == DECIMAL)
        return not is_plain and any(self._has_comma) and not all(self._has_comma)

    def outcome(self, decimal_mark: Mark = None) -> ColumnForm:
        """Return the form of the cells that were added.

        Args:
            decimal_mark: of the file, by which 1.234 and 1,234 are read; None if it is unknown.
        """
        if self._is_blank:
            return ColumnForm(CellForm(TEXT if self._examples else EMPTY), (), is_blank=True)
        forms = self._readings(decimal_mark)
        is_unclear = self.is_unclear and not forms
        reason = self._reason_against_numbers(forms)
        if reason:
            forms = [form for form in forms if form.kind not in _NUMBERS]
        if _DAY_FIRST in forms and _MONTH_FIRST in forms:
            forms = []
            reason = f"kept as text, since {self._examples[0]!r} may begin with the day or the month"
        elif is_unclear:
            reason = f"kept as text, since the comma in {self._example_with_comma!r} may separate decimals or thousands"
        form = forms[0] if forms else AS_TEXT
        return ColumnForm(form, tuple(self._notes(form, reason)), is_blank=False)

    def _possible(self, forms: Iterable[CellForm]) -> list[CellForm]:
        return [form for form in forms if self._may_have_decimal_commas or not form.has_decimal_comma]

    @property
    def _has_comma(self) -> list[bool]:
        """Whether each way to read the cells as decimals has decimal commas; empty if all are whole numbers."""
        kinds = [form.kind for form in self._forms]
        return [] if INTEGER in kinds else [form.has_decimal_comma for form in self._forms if form.kind == DECIMAL]

    @property
    def _example_with_comma(self) -> str:
        return next((text for text in self._examples if "," in text), ",")

    def _readings(self, decimal_mark: Mark) -> list[CellForm]:
        """Return the forms that the cells have at a decimal mark."""
        has_thousands = self._has_groups or decimal_mark == "."
        forms = [form for form in self._forms if has_thousands or not form.is_ambiguous]
        if decimal_mark == "." or (decimal_mark is None and self.is_unclear):
            return [form for form in forms if not form.has_decimal_comma]
        if decimal_mark == "," and any(form.has_decimal_comma for form in forms):
            return [form for form in forms if form.kind != DECIMAL or form.has_decimal_comma]
        return forms

    def _narrow(self, values: pa.Array) -> None:
        kept: list[CellForm] = []
        for form in self._forms:
            if any(form.includes(other) for other in kept) or form.fits(values):
                kept.append(form)
        if not kept:
            self._exception = self._first_exception(values)
        self._forms = kept
        if any(form.kind in _NUMBERS for form in self._forms):
            self._note_codes(values)

    def _first_exception(self, values: pa.Array) -> "_Exception":
        """Return the first cell that hinders the form that most cells before it have; none if few have one."""
        before = self._seen - len(values)
        lengths = [_fitting(form, values) for form in self._forms if before or form.fits(values[:_MIN_ALIKE])]
        length = max(lengths, default=len(values))
        if length == len(values) or before + length < _MIN_ALIKE:
            return _Exception("", 0)
        return _Exception(values[length].as_py(), before + length + 1)

    def _note_codes(self, values: pa.Array) -> None:
        self._code = self._code or _first_match(values, _CODE)
        self._possible_code = self._possible_code or _first_match(values, _POSSIBLE_CODE)
        self._is_measurement = self._is_measurement or bool(_first_match(values, _MEASUREMENT))
        self._has_groups = self._has_groups or bool(_first_match(values, _GROUPS))
        if not self._long_number:
            long = values.filter(pc.match_substring_regex(values, _LONG_NUMBER)).to_pylist()
            self._long_number = next((text for text in long if not _is_exact(text)), "")

    def _reason_against_numbers(self, forms: list[CellForm]) -> str:
        if not any(form.kind in _NUMBERS for form in forms):
            return ""
        code = self._code or ("" if self._is_measurement else self._possible_code)
        if code:
            return f"kept as text, since a number would change {code!r}"
        if self._long_number and forms[0].kind != INTEGER:
            return f"kept as text, since a double cannot hold the digits of {self._long_number!r}"
        return ""

    def _notes(self, form: CellForm, reason: str) -> Iterator[str]:
        if form.kind == TEXT:
            disguise = disguise_of(self._examples)
            if disguise and not disguise.exception:
                disguise = replace(disguise, exception=self._exception.cell or None)
            yield from filter(None, [reason or (disguise.description if disguise else "")])
            return
        yield from filter(None, [form.note])
        if self._markers and self._marker:
            yield f"{counted_noun(self._markers, 'cell')} such as {self._marker!r} read as null"


def _fitting(form: CellForm, values: pa.Array) -> int:
    """Return how many of the first values have a form."""
    return bisect_left(range(1, len(values) + 1), x=True, key=lambda count: not form.fits(values[:count]))


def decimal_mark_of(columns: Collection[ColumnInference], delimiter: str) -> Mark:
    """Return what separates decimals in a file, by the columns with one meaning; None if that is unknown.

    Without such columns it is the comma if semicolons delimit the cells, as spreadsheets write them then.
    """
    certain = {column.decimal_mark for column in columns}
    if "," in certain:
        return ","
    if delimiter == ";":
        return "," if "." not in certain and any(column.is_unclear for column in columns) else None
    return "." if "." in certain and delimiter != "," else None


def _with_unit(unit: Unit) -> Iterator[CellForm]:
    for form in _NUMBER_FORMS:
        note = ", ".join(filter(None, [unit.note, form.note]))
        yield replace(form, note=note, unit=unit, is_ambiguous=form.is_ambiguous and not unit.is_currency)


def _is_exact(number: str) -> bool:
    """Return whether a double holds all digits of a number."""
    exact = Decimal(number.replace(",", "."))
    return Decimal(repr(float(exact))) == exact


def _first_match(values: pa.Array, pattern: str) -> str:
    """Return the first value that matches, or an empty text."""
    return _first(values, pc.match_substring_regex(values, pattern))


def _first(values: pa.Array, is_selected: pa.Array) -> str:
    position = pc.index(is_selected, True).as_py()
    return "" if position < 0 else str(values[position].as_py())
