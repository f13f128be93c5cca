"""The distribution of a feature, with the values of flagged records above it, drawn into axes."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.pictures.channels import as_array
from jobs.pictures.style import Canvas, plain_text, readable, style_axes, title
from jobs.pictures.values import Distribution, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 30
_DRAWN_PERCENTILES = (0.2, 99.8)  # of the records: a few extreme ones would leave no room for the others
_MAX_LEVELS = 7
_MAX_ROWS = 12  # of flagged records with a row of their own
_ROW_HEIGHT = 0.1  # of the height of the histogram
_LEVEL_LENGTH = 18  # characters
OTHER = "(others)"
_REACH = 3  # widths of the distribution, up to which flagged values extend the axis
_CENTRAL_SHARE = 98  # per cent of the records in the band
_BAND_LABEL = f"{_CENTRAL_SHARE} % of other records"


def draw_distribution(axes: "Axes", distribution: Distribution, canvas: Canvas) -> None:
    """Draw the records that are not flagged as a histogram or bars, and the flagged ones above or next to it."""
    if distribution.is_number:
        _draw_numbers(axes, distribution, canvas)
    else:
        _draw_levels(axes, distribution, canvas)
    unit = f" ({distribution.unit})" if distribution.unit else ""
    title(axes, distribution.name + unit, canvas)


def _draw_numbers(axes: "Axes", distribution: Distribution, canvas: Canvas) -> None:
    theme = canvas.theme
    values = _finite(as_array(distribution.values))  # type: ignore[arg-type]
    marks = [(_number(mark.value), _number(mark.expected)) for mark in distribution.marks]
    shown = [number for pair in marks for number in pair if number is not None]
    limits = _limits(values, shown)
    if len(values):
        low, high = np.percentile(values, [(100 - _CENTRAL_SHARE) / 2, (100 + _CENTRAL_SHARE) / 2])
        axes.axvspan(low, high, color=theme.band, linewidth=0, zorder=0.5, label=_BAND_LABEL)
        heights, edges = np.histogram(values, bins=_BINS, range=np.percentile(values, _DRAWN_PERCENTILES))
        bars = heights / max(heights.max(), 1)
        axes.stairs(bars, edges, fill=True, color=theme.measured, linewidth=0, zorder=1.5, label="records not flagged")
    style_axes(axes, canvas)
    axes.set_xlim(*limits)
    _draw_marks(axes, marks, canvas)
    _readable_x(axes, canvas)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _draw_marks(axes: "Axes", marks: Sequence[tuple[float | None, float | None]], canvas: Canvas) -> None:
    """Draw a row above the histogram for each flagged record, or one strip if there are many."""
    present = [(value, expected) for value, expected in marks if value is not None]
    if len(present) > _MAX_ROWS:
        values = np.clip([value for value, _ in present], *axes.get_xlim())
        axes.plot(values, [1.2] * len(values), "|", color=canvas.theme.flagged, markersize=7, zorder=3.5)
        axes.set_ylim(0, 1.3)
        return
    for row, (value, expected) in enumerate(present):
        _draw_mark(axes, 1.12 + _ROW_HEIGHT * row, value, expected, canvas)
    axes.set_ylim(0, 1.16 + _ROW_HEIGHT * len(present))


def _draw_mark(axes: "Axes", height: float, value: float, expected: float | None, canvas: Canvas) -> None:
    """Draw a flagged value, and a line to the expected one; a value beyond the axis is an arrow with its number."""
    theme, (low, high) = canvas.theme, axes.get_xlim()
    place = min(max(value, low), high)
    if expected is not None:
        ends = [place, min(max(expected, low), high)]
        axes.plot(ends, [height, height], color=theme.flagged, linewidth=1.1, alpha=0.7, zorder=3)
        tick: dict[str, Any] = {"color": theme.ink, "markersize": 8, "markeredgewidth": 1.8, "zorder": 3.2}
        axes.plot(ends[1], height, "|", label="expected", **tick)
    dot: dict[str, Any] = {"color": theme.flagged, "markeredgecolor": theme.paper, "markersize": 6.5, "zorder": 3.5}
    marker = "o" if place == value else (">" if value > high else "<")
    axes.plot(place, height, marker, markeredgewidth=0.5, clip_on=False, label="flagged record", **dot)
    if place != value:
        side: dict[str, Any] = {"ha": "right" if value > high else "left", "va": "bottom", "fontsize": canvas.text - 1}
        shift = (-6, 1) if value > high else (6, 1)
        text = readable(value)
        axes.annotate(text, (place, height), xytext=shift, textcoords="offset points", color=theme.flagged, **side)


def _draw_levels(axes: "Axes", distribution: Distribution, canvas: Canvas) -> None:
    theme = canvas.theme
    usual = Counter(_level(value) for value in distribution.values)
    flagged = Counter(_level(mark.value) for mark in distribution.marks)
    levels = _shown_levels(usual, flagged)
    total, flagged_total = max(sum(usual.values()), 1), max(sum(flagged.values()), 1)
    places = np.arange(len(levels))
    shares = [_share(usual, level, levels) / total for level in levels]
    flagged_shares = [_share(flagged, level, levels) / flagged_total for level in levels]
    axes.barh(places - 0.19, shares, 0.36, color=theme.measured, label="records not flagged", zorder=1.5)
    if distribution.marks:
        axes.barh(places + 0.19, flagged_shares, 0.36, color=theme.flagged, label="flagged record", zorder=1.5)
    style_axes(axes, canvas)
    axes.set_yticks(places, [plain_text(level, _LEVEL_LENGTH) for level in levels])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])


def _shown_levels(usual: "Counter[str]", flagged: "Counter[str]") -> list[str]:
    """Return the levels of flagged records and the most frequent other ones, and one for the rest."""
    ranked = [level for level, _ in (*flagged.most_common(), *usual.most_common())]
    levels = list(dict.fromkeys(ranked))
    if len(levels) <= _MAX_LEVELS:
        return sorted(levels, key=lambda level: -usual[level])
    return [*sorted(levels[: _MAX_LEVELS - 1], key=lambda level: -usual[level]), OTHER]


def _share(counts: "Counter[str]", level: str, levels: Sequence[str]) -> int:
    if level != OTHER or level in counts:
        return counts[level]
    return sum(count for other, count in counts.items() if other not in levels)


def _level(value: object) -> str:
    return "null" if value is None else str(value)


def _limits(values: np.ndarray, shown: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the axis: the records but for a few extreme ones, and flagged values that are not far off."""
    if not len(values):
        low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    else:
        first, last = (float(end) for end in np.percentile(values, _DRAWN_PERCENTILES))
        reach = _REACH * (last - first) or max(abs(first), 1.0)
        low = max(min(first, *shown), first - reach) if shown else first
        high = min(max(last, *shown), last + reach) if shown else last
    margin = 0.04 * (high - low) or max(abs(low), 1.0) * 0.1
    return low - margin, high + margin


def _readable_x(axes: "Axes", canvas: Canvas) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=3 if canvas.is_narrow else 4, min_n_ticks=2))
    axes.xaxis.set_major_formatter(readable)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[np.isfinite(values)])


def _number(value: Mark | float | str | None) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool | int | float) and np.isfinite(value):
        return float(value)
    return None
