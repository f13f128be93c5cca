"""The course of channels and scores over time, drawn into axes."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.pictures.style import Canvas, style_axes, title
from jobs.pictures.values import Channel, Numbers, Scores, Span
from jobs.wording import counted_noun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MIN_WIDTH = 0.004  # of a drawn span, as a share of the width of the axes
_MARKED_RECORDS = 400  # up to which flagged records are large


def draw_channel(axes: "Axes", channel: Channel, scores: Scores, gap: timedelta | None, canvas: Canvas) -> None:
    """Draw measured and expected values of a channel, its normal band, and the records that were flagged."""
    theme, times = canvas.theme, np.array(scores.times or [], dtype=object)
    measured, expected, low, high = map(as_array, (channel.measured, channel.expected, channel.low, channel.high))
    starts = run_starts(times, gap)
    shade_gaps(axes, times, gap, canvas)
    if channel.is_truth:
        axes.set_yticks([0, 1], ["no", "yes"])
        axes.set_ylim(-0.25, 1.25)
    else:
        axes.fill_between(times, low, high, where=~starts, color=theme.band, linewidth=0, label="normal band", zorder=1)
        _draw_line(axes, times, expected, starts, color=theme.ink, linewidth=0.9, label="expected", zorder=2.6)
    step: dict[str, Any] = {"drawstyle": "steps-post"} if channel.is_truth else {}
    line = {"color": theme.measured, "linewidth": 1.7, "label": "measured", "zorder": 2.4, "solid_joinstyle": "round"}
    _draw_line(axes, times, measured, starts, **line, **step)
    if not channel.is_truth:
        _mark_breaches(axes, times, (measured, low, high), starts, canvas)
        _limit(axes, measured, expected, low, high)
    draw_flagged(axes, times, measured, scores, canvas)


def draw_scores(axes: "Axes", scores: Scores, gap: timedelta | None, canvas: Canvas, name: str | None = None) -> None:
    """Draw scores over time, with a name for the legend, their thresholds and the flagged records."""
    theme, times = canvas.theme, np.array(scores.times or [], dtype=object)
    values, thresholds = as_array(scores.scores), as_array(scores.thresholds)
    starts = run_starts(times, gap)
    shade_gaps(axes, times, gap, canvas)
    _draw_line(axes, times, values, starts, color=theme.muted, linewidth=1.1, zorder=2, label=name)
    style: dict[str, Any] = {"color": theme.ink, "linewidth": 1, "linestyle": (0, (5, 3)), "zorder": 2.2}
    _draw_line(axes, times, thresholds, starts, label="threshold", drawstyle="steps-mid", **style)
    draw_flagged(axes, times, values, scores, canvas)
    axes.set_ylim(bottom=min(0, float(np.nanmin(values, initial=0))))


def draw_incidents(axes: "Axes", incidents: Sequence[Span], canvas: Canvas) -> None:
    """Shade the incidents over the height of the axes."""
    for incident in incidents:
        span = widened(axes, incident.start, incident.end)
        axes.axvspan(*span, color=canvas.theme.incident, linewidth=0, zorder=0.5, label="incident")


def draw_flagged(axes: "Axes", times: np.ndarray, values: np.ndarray, scores: Scores, canvas: Canvas) -> None:
    """Draw a dot for each flagged record that has a value."""
    is_drawn = np.array(scores.is_flagged, dtype=bool) & ~np.isnan(values)
    if not is_drawn.any():
        return
    style: dict[str, Any] = {"markeredgecolor": canvas.theme.paper, "markeredgewidth": 0.6, "zorder": 4}
    size = 6.5 if is_drawn.sum() <= _MARKED_RECORDS else 4
    axes.plot(
        times[is_drawn], values[is_drawn], "o", color=canvas.theme.flagged, markersize=size, label="flagged record",
        **style,
    )  # fmt: skip


def shade_gaps(axes: "Axes", times: np.ndarray, gap: timedelta | None, canvas: Canvas) -> None:
    """Hatch the stretches without records."""
    style: dict[str, Any] = {"facecolor": "none", "edgecolor": canvas.theme.hatch, "hatch": "////", "linewidth": 0}
    for start, end in _gaps(times, gap):
        span: Any = (start, end)
        axes.axvspan(*span, zorder=0.4, label="no records", **style)


def channel_title(axes: "Axes", channel: Channel, canvas: Canvas, note: str = "") -> None:
    """Put the name of a channel with its unit above the axes."""
    title(axes, channel.name + (f" ({channel.unit})" if channel.unit else ""), canvas, note=note)


def style_channel(axes: "Axes", channel: Channel, canvas: Canvas) -> None:
    """Apply the plain style to the axes of a channel; yes and no stay the only ticks of a truth value."""
    style_axes(axes, canvas)
    if channel.is_truth:
        axes.set_yticks([0, 1], ["no", "yes"])


def run_starts(times: np.ndarray, gap: timedelta | None) -> np.ndarray:
    """Return whether each record (n,) is the first after a gap."""
    starts = np.zeros(len(times), dtype=bool)
    if gap is not None and len(times) > 1:
        starts[1:] = np.diff(times) > gap
    return starts


def widened(axes: "Axes", start: datetime, end: datetime) -> tuple[float, float]:
    """Convert a time span to axis units, widened to the minimal visible width."""
    from matplotlib.dates import date2num

    low, high = axes.get_xlim()
    first, last = (float(date2num(time)) for time in (start, end))  # type: ignore[no-untyped-call]
    lacking = max(_MIN_WIDTH * (high - low) - (last - first), 0)
    return first - lacking / 2, last + lacking / 2


def as_array(numbers: Numbers) -> np.ndarray:
    """Return numbers (n,) as float64, NaN if missing."""
    return np.array([np.nan if number is None else number for number in numbers], dtype=float)


def summary(scores: Scores) -> str:
    """Return how many records are shown and flagged."""
    records = counted_noun(len(scores.scores), "record")
    return f"{records}, {sum(scores.is_flagged):,} flagged"


def _gaps(times: np.ndarray, gap: timedelta | None) -> Iterator[tuple[datetime, datetime]]:
    for place in np.flatnonzero(run_starts(times, gap)).tolist():
        yield times[place - 1], times[place]


def _draw_line(axes: "Axes", times: np.ndarray, values: np.ndarray, starts: np.ndarray, **style: Any) -> None:
    """Draw a line that is interrupted at gaps, with a point for a value that has no neighbour."""
    before = np.flatnonzero(starts)
    axes.plot(np.insert(times, before, times[before - 1]), np.insert(values, before, np.nan), **style)
    is_present = ~np.isnan(values)
    is_alone = is_present & ~_has_neighbour(is_present, starts)
    if is_alone.any():
        point = {"color": style["color"], "zorder": style.get("zorder", 2)}
        axes.plot(times[is_alone], values[is_alone], ".", markersize=3.5, **point)


def _has_neighbour(is_present: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return whether a line connects each value (n,) with the one before or after it."""
    is_joined = is_present[1:] & is_present[:-1] & ~starts[1:]
    return np.asarray(np.append(is_joined, False) | np.insert(is_joined, 0, False))


def _mark_breaches(
    axes: "Axes",
    times: np.ndarray,
    measured_and_band: tuple[np.ndarray, np.ndarray, np.ndarray],
    starts: np.ndarray,
    canvas: Canvas,
) -> None:
    """Fill the space between measured values and the band that they leave, and colour the line outside of it."""
    measured, low, high = measured_and_band
    is_beyond = (measured > high) | (measured < low)
    if not is_beyond.any():
        return
    edge = np.clip(measured, low, high)
    fill: dict[str, Any] = {"color": canvas.theme.flagged, "alpha": 0.35, "linewidth": 0, "zorder": 1.6}
    axes.fill_between(times, edge, measured, where=_with_neighbours(is_beyond) & ~starts, **fill)
    outside = np.where(is_beyond | (np.insert(is_beyond[:-1], 0, False) & ~starts), measured, np.nan)
    style: dict[str, Any] = {"color": canvas.theme.flagged, "linewidth": 2.2, "zorder": 2.5}
    _draw_line(axes, times, outside, starts, label="outside the band", **style)


def _with_neighbours(is_marked: np.ndarray) -> np.ndarray:
    return np.asarray(is_marked | np.append(is_marked[1:], False) | np.insert(is_marked[:-1], 0, False))


def _limit(axes: "Axes", measured: np.ndarray, expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Limit the axis to the values and the usual width of the band: a wide band at a start must not flatten them."""
    width = float(np.nanmedian(high - low)) if not np.isnan(high - low).all() else 0.0
    ends = np.concatenate([measured, expected - width, expected + width])
    ends = ends[np.isfinite(ends)]
    if len(ends) and np.ptp(ends) > 0:
        margin = 0.06 * np.ptp(ends)
        axes.set_ylim(ends.min() - margin, ends.max() + margin)
