"""Lines of small charts as places in a picture; the template draws them as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520.0, 220.0
_TICKS = 4
_MARGIN = 0.05  # of the height, above and below the lines
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: of the line, for the legend.
        kind: class that sets its colour.
        places: in the picture, as the attribute `points` of SVG has them.
    """

    name: str
    kind: str
    places: str


@dataclass(frozen=True)
class AxisMark:
    """A mark on an axis: its place in the picture and its value."""

    place: float
    value: float


@dataclass(frozen=True)
class Chart:
    """Lines with the marks of their axes."""

    lines: Sequence[Line]
    x_marks: Sequence[AxisMark]
    y_marks: Sequence[AxisMark]


def chart(lines: Sequence[tuple[str, str, Sequence[Point]]]) -> Chart | None:
    """Return the chart of lines, each with a name, a kind and points; None if fewer than two points are finite.

    >>> drawn = chart([("a", "measured", [(1, 0.0), (2, 10.0)])])
    >>> drawn.lines[0].places
    '0.0,209.0 520.0,11.0'
    """
    finite = [(name, kind, points) for name, kind, given in lines if (points := _finite(given))]
    xs, ys = ([point[axis] for *_, points in finite for point in points] for axis in (0, 1))
    if len(set(xs)) < 2:
        return None
    across, up = _Scale.of(min(xs), max(xs), WIDTH), _Scale.of(min(ys), max(ys), HEIGHT, _MARGIN)
    return Chart(
        lines=[Line(name, kind, _places(points, across, up)) for name, kind, points in finite],
        x_marks=[AxisMark(across.place(value), value) for value in _round_values(min(xs), max(xs))],
        y_marks=[AxisMark(HEIGHT - up.place(value), value) for value in _round_values(min(ys), max(ys))],
    )


@dataclass(frozen=True)
class _Scale:
    """Values to places on an axis."""

    low: float
    high: float
    length: float

    @classmethod
    def of(cls, low: float, high: float, length: float, margin: float = 0.0) -> "_Scale":
        """Return the scale of values, with a margin at both ends as a share of the length."""
        spare = margin / (1 - 2 * margin) * ((high - low) or max(abs(high), 1.0))
        return cls(low - spare, high + spare, length)

    def place(self, value: float) -> float:
        """Return the place of a value."""
        return round(self.length * (value - self.low) / ((self.high - self.low) or 1.0), 1)


def _places(points: Sequence[Point], across: _Scale, up: _Scale) -> str:
    return " ".join(f"{across.place(x)},{round(HEIGHT - up.place(y), 1)}" for x, y in points)


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if all(map(math.isfinite, point))]


def _round_values(low: float, high: float) -> list[float]:
    """Return some four round values from low to high.

    >>> _round_values(0.0, 1.0), _round_values(3, 41)
    ([0.0, 0.5, 1.0], [10.0, 20.0, 30.0, 40.0])
    """
    length = high - low
    if length <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(length / _TICKS))
    step = next(step * power for step in (1, 2, 5, 10) if length / (step * power) <= _TICKS)
    first = math.ceil(low / step - 1e-9)
    return [round(position * step, 12) for position in range(first, math.floor(high / step + 1e-9) + 1)]
