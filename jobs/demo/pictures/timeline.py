"""The course of a monitor of series: its scores over all of it, and each event with what was measured and expected."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from jobs.demo.events import Event
from jobs.demo.pictures.style import FLAGGED, INK, KNOWN, LIGHT, MUTED, SKY, saved, styled, use_short_dates
from jobs.demo.timeline import Timeline
from jobs.store import StoredIncident
from jobs.wording import counted_noun
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, THRESHOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_COLUMNS = 3  # of panels
_MARGIN = timedelta(hours=6)  # at least, before an event and after it
_SILENCE = timedelta(minutes=30)  # without a record is a gap
_NARROWEST = 0.006  # of the width of axes: what is shorter is drawn as wide
_CAUSES = 2  # are told of an incident
_SMALL, _MIDDLE, _LARGE = 10.5, 12, 14
_TITLE: dict[str, Any] = {"loc": "left", "fontweight": "bold", "color": INK, "fontsize": _LARGE}
_BAR: dict[str, Any] = {"linewidth": 8, "solid_capstyle": "butt", "clip_on": False}


def course_picture(path: Path, title: str, course: Timeline) -> None:
    """Draw a course into a PNG of 1600 x 1800 pixels: the scores of each entity, then a panel for each event.

    Args:
        path: The file to write.
        title: What the picture is about.
        course: With a record at least.

    Raises:
        UsageError: where the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(16, 18), dpi=100, facecolor="white", layout=layout)
    overview, panels = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 2]).ravel()
    overview.suptitle(title, x=0.007, ha="left", fontsize=19, fontweight="bold", color=INK, parse_math=False)
    _draw_scores(overview, course)
    rows = -(-len(course.events) // _COLUMNS)
    places = panels.subfigures(rows, _COLUMNS, squeeze=False).ravel()
    for place, event in zip(places, course.events, strict=False):
        _draw_event(place, event, course)
    _add_legend(figure)
    saved(figure, path)


def _add_legend(figure: "Figure") -> None:
    """What the lines and colours of all axes mean, each once."""
    named = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for found in named for handle, label in zip(*found, strict=True)}
    style = {"ncols": len(handles), "frameon": False, "fontsize": _MIDDLE}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", **style)


def _draw_scores(figure: "SubFigure", course: Timeline) -> None:
    """The score of each entity below what was put into it."""
    entities = sorted(course.records["entity"].unique())
    every_axes = figure.subplots(len(entities), 1, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, entity in zip(every_axes, entities, strict=True):
        own = course.records[course.records["entity"] == entity]
        _shade_gaps(axes, own["time"])
        _draw_line(axes, own["time"], own[ANOMALY_SCORE], color=SKY, linewidth=1.1)
        _draw_line(axes, own["time"], own[THRESHOLD], color=INK, linewidth=1, linestyle="--", label="threshold")
        _draw_flagged(axes, own, ANOMALY_SCORE)
        axes.set_title(entity, **_TITLE, pad=22)
        styled(axes, "anomaly score", size=_MIDDLE)
        axes.set_xlim(course.records["time"].min(), course.records["time"].max())
        for event in course.events:
            if event.pump == entity:
                _mark(axes, event)
    use_short_dates(every_axes[-1])


def _mark(axes: "Axes", event: Event) -> None:
    """An event as a bar with its name above the axes."""
    above = axes.get_xaxis_transform()
    span = _widened(axes, event.start, event.end)
    axes.plot(span, [1.05, 1.05], color=KNOWN, transform=above, label="put in", **_BAR)
    axes.text(span[0], 1.1, event.name, transform=above, fontsize=_SMALL, color=INK, va="bottom")


def _draw_event(figure: "SubFigure", event: Event, course: Timeline) -> None:
    """What was put in and what was flagged as bars, and below them the channels that show most of it."""
    margin = max(_MARGIN, 0.3 * (event.end - event.start))
    start, end = event.start - margin, event.end + margin
    records = course.records[(course.records["entity"] == event.pump) & course.records["time"].between(start, end)]
    incidents = [item for item in course.incidents if _is_within(item, event.pump, start, end)]
    ratios = [0.3, *[1] * len(event.shown)]
    bars, *every_axes = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
    bars.set_xlim(start, end)
    _draw_bars(bars, event, incidents)
    for axes, channel in zip(every_axes, event.shown, strict=True):
        for incident in incidents:
            span = _widened(axes, incident.start_time, incident.end_time)
            axes.axvspan(*span, color=FLAGGED, alpha=0.14, linewidth=0, label="incident")
        _shade_gaps(axes, records["time"])
        _draw_line(axes, records["time"], records[channel], color=SKY, linewidth=3, label="measured")
        expected = course.expected.loc[records.index, channel]
        _draw_line(
            axes, records["time"], expected, color=INK, linewidth=1, label="expected from the channel's own past"
        )
        _draw_flagged(axes, records, channel)
        styled(axes, channel, size=_MIDDLE)
    use_short_dates(every_axes[-1])
    figure.align_ylabels(every_axes)


def _is_within(incident: StoredIncident, entity: str, start: datetime, end: datetime) -> bool:
    return incident.entity == entity and incident.start_time <= end and incident.end_time >= start


def _draw_bars(axes: "Axes", event: Event, incidents: Sequence[StoredIncident]) -> None:
    axes.set_title(f"{event.name.capitalize()}, {event.pump}", **_TITLE, pad=20)
    told = axes.text(0, 1.08, _told(incidents), transform=axes.transAxes, fontsize=_SMALL)
    told.set(color=FLAGGED if incidents else MUTED, in_layout=False)
    axes.plot(_widened(axes, event.start, event.end), [1, 1], color=KNOWN, **_BAR)
    for incident in incidents:
        axes.plot(_widened(axes, incident.start_time, incident.end_time), [0, 0], color=FLAGGED, **_BAR)
    axes.set_ylim(-0.6, 1.6)
    axes.set_yticks([1, 0], ["put in", counted_noun(len(incidents), "incident")], fontsize=_SMALL, color=INK)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _told(incidents: Sequence[StoredIncident]) -> str:
    """The causes of the incident with the most records."""
    if not incidents:
        return "nothing flagged"
    largest = max(incidents, key=lambda incident: incident.records)
    causes = [
        f"{cause['feature']} {'↑' if cause['deviation'] > 0 else '↓'} {abs(cause['deviation']):.1f} sd"
        for cause in largest.causes[:_CAUSES]
    ]
    return ", ".join(causes)


def _shade_gaps(axes: "Axes", times: pd.Series) -> None:
    for place in (times.diff() > _SILENCE).to_numpy().nonzero()[0].tolist():
        span = times.iloc[place - 1], times.iloc[place]
        axes.axvspan(*span, facecolor=LIGHT, edgecolor="white", hatch="///", linewidth=0, label="no records")


def _draw_flagged(axes: "Axes", records: pd.DataFrame, column: str) -> None:
    flagged = records[records[IS_ANOMALY]]
    style: dict[str, Any] = {"markersize": 5, "color": FLAGGED, "markeredgewidth": 0, "zorder": 3}
    axes.plot(flagged["time"], flagged[column], "o", label="flagged record", **style)


def _draw_line(axes: "Axes", times: pd.Series, values: pd.Series, **style: Any) -> None:
    """A line that is interrupted where records are missing."""
    axes.plot(times, values.mask(times.diff() > _SILENCE), **style)


def _widened(axes: "Axes", start: datetime, end: datetime) -> tuple[float, float]:
    """A span of time, wide enough to be seen, as axes count time."""
    from matplotlib.dates import date2num

    low, high = axes.get_xlim()
    first, last = (float(date2num(time)) for time in (start, end))  # type: ignore[no-untyped-call]
    lacking = max(_NARROWEST * (high - low) - (last - first), 0)
    return first - lacking / 2, last + lacking / 2
