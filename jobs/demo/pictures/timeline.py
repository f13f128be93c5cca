"""A picture of a timeline: the scores of each entity, and measured and expected values around each event."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from jobs.demo.events import Event
from jobs.demo.pictures.style import FLAGGED, INK, KNOWN, LIGHT, MUTED, SKY, save, style_axes, use_short_dates
from jobs.demo.timeline import Timeline
from jobs.store import StoredIncident
from jobs.wording import counted_noun
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, THRESHOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_PANEL_COLUMNS = 3
_MIN_MARGIN = timedelta(hours=6)  # before and after an event
_GAP_AFTER = timedelta(minutes=30)
_MIN_WIDTH = 0.006  # of a drawn time span, as a share of the width of the axes
_MAX_CAUSES_SHOWN = 2
_SMALL_POINTS, _MEDIUM_POINTS, _LARGE_POINTS = 10.5, 12, 14
_TITLE: dict[str, Any] = {"loc": "left", "fontweight": "bold", "color": INK, "fontsize": _LARGE_POINTS}
_BAR: dict[str, Any] = {"linewidth": 8, "solid_capstyle": "butt", "clip_on": False}


def draw_timeline_picture(path: Path, title: str, timeline: Timeline) -> None:
    """Draw a timeline into a PNG of 1600 x 1800 pixels: the scores of each entity, then a panel for each event.

    Args:
        path: The file to write.
        title: Title of the picture.
        timeline: A timeline with at least one record.

    Raises:
        UsageError: If the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(16, 18), dpi=100, facecolor="white", layout=layout)
    overview, panels = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 2]).ravel()
    overview.suptitle(title, x=0.007, ha="left", fontsize=19, fontweight="bold", color=INK, parse_math=False)
    _draw_scores(overview, timeline)
    rows = -(-len(timeline.events) // _PANEL_COLUMNS)
    places = panels.subfigures(rows, _PANEL_COLUMNS, squeeze=False).ravel()
    for place, event in zip(places, timeline.events, strict=False):
        _draw_event(place, event, timeline)
    _add_legend(figure)
    save(figure, path)


def _add_legend(figure: "Figure") -> None:
    """Add one legend for the lines and colours of all axes, without duplicates."""
    entries = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for entry in entries for handle, label in zip(*entry, strict=True)}
    style = {"ncols": len(handles), "frameon": False, "fontsize": _MEDIUM_POINTS}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", **style)


def _draw_scores(figure: "SubFigure", timeline: Timeline) -> None:
    """Draw the scores of each entity, with its events above them."""
    entities = sorted(timeline.records["entity"].unique())
    every_axes = figure.subplots(len(entities), 1, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, entity in zip(every_axes, entities, strict=True):
        own = timeline.records[timeline.records["entity"] == entity]
        _shade_gaps(axes, own["time"])
        _draw_line(axes, own["time"], own[ANOMALY_SCORE], color=SKY, linewidth=1.1)
        _draw_line(axes, own["time"], own[THRESHOLD], color=INK, linewidth=1, linestyle="--", label="threshold")
        _draw_flagged(axes, own, ANOMALY_SCORE)
        axes.set_title(entity, **_TITLE, pad=22)
        style_axes(axes, "anomaly score", size=_MEDIUM_POINTS)
        axes.set_xlim(timeline.records["time"].min(), timeline.records["time"].max())
        for event in timeline.events:
            if event.pump == entity:
                _mark(axes, event)
    use_short_dates(every_axes[-1])


def _mark(axes: "Axes", event: Event) -> None:
    """Draw an event as a bar with its name above the axes."""
    above = axes.get_xaxis_transform()
    span = _widened(axes, event.start, event.end)
    axes.plot(span, [1.05, 1.05], color=KNOWN, transform=above, label="injected event", **_BAR)
    axes.text(span[0], 1.1, event.name, transform=above, fontsize=_SMALL_POINTS, color=INK, va="bottom")


def _draw_event(figure: "SubFigure", event: Event, timeline: Timeline) -> None:
    """Draw an event and the incidents near it as bars, and below them the channels that show the event."""
    margin = max(_MIN_MARGIN, 0.3 * (event.end - event.start))
    start, end = event.start - margin, event.end + margin
    records = timeline.records[
        (timeline.records["entity"] == event.pump) & timeline.records["time"].between(start, end)
    ]
    incidents = [item for item in timeline.incidents if _is_within(item, event.pump, start, end)]
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
        expected = timeline.expected.loc[records.index, channel]
        _draw_line(
            axes, records["time"], expected, color=INK, linewidth=1, label="expected from the channel's own past"
        )
        _draw_flagged(axes, records, channel)
        style_axes(axes, channel, size=_MEDIUM_POINTS)
    use_short_dates(every_axes[-1])
    figure.align_ylabels(every_axes)


def _is_within(incident: StoredIncident, entity: str, start: datetime, end: datetime) -> bool:
    return incident.entity == entity and incident.start_time <= end and incident.end_time >= start


def _draw_bars(axes: "Axes", event: Event, incidents: Sequence[StoredIncident]) -> None:
    axes.set_title(f"{event.name.capitalize()}, {event.pump}", **_TITLE, pad=20)
    text = axes.text(0, 1.08, _cause_line(incidents), transform=axes.transAxes, fontsize=_SMALL_POINTS)
    text.set(color=FLAGGED if incidents else MUTED, in_layout=False)
    axes.plot(_widened(axes, event.start, event.end), [1, 1], color=KNOWN, **_BAR)
    for incident in incidents:
        axes.plot(_widened(axes, incident.start_time, incident.end_time), [0, 0], color=FLAGGED, **_BAR)
    axes.set_ylim(-0.6, 1.6)
    axes.set_yticks([1, 0], ["injected", counted_noun(len(incidents), "incident")], fontsize=_SMALL_POINTS, color=INK)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _cause_line(incidents: Sequence[StoredIncident]) -> str:
    """Format the causes of the incident with the most records."""
    if not incidents:
        return "nothing flagged"
    largest = max(incidents, key=lambda incident: incident.records)
    causes = [
        f"{cause['feature']} {'↑' if cause['deviation'] > 0 else '↓'} {abs(cause['deviation']):.1f} sd"
        for cause in largest.causes[:_MAX_CAUSES_SHOWN]
    ]
    return ", ".join(causes)


def _shade_gaps(axes: "Axes", times: pd.Series) -> None:
    for place in (times.diff() > _GAP_AFTER).to_numpy().nonzero()[0].tolist():
        span = times.iloc[place - 1], times.iloc[place]
        axes.axvspan(*span, facecolor=LIGHT, edgecolor="white", hatch="///", linewidth=0, label="no records")


def _draw_flagged(axes: "Axes", records: pd.DataFrame, column: str) -> None:
    flagged = records[records[IS_ANOMALY]]
    style: dict[str, Any] = {"markersize": 5, "color": FLAGGED, "markeredgewidth": 0, "zorder": 3}
    axes.plot(flagged["time"], flagged[column], "o", label="flagged record", **style)


def _draw_line(axes: "Axes", times: pd.Series, values: pd.Series, **style: Any) -> None:
    """Draw a line that is interrupted where records are missing."""
    axes.plot(times, values.mask(times.diff() > _GAP_AFTER), **style)


def _widened(axes: "Axes", start: datetime, end: datetime) -> tuple[float, float]:
    """Convert a time span to axis units, widened to the minimal visible width."""
    from matplotlib.dates import date2num

    low, high = axes.get_xlim()
    first, last = (float(date2num(time)) for time in (start, end))  # type: ignore[no-untyped-call]
    lacking = max(_MIN_WIDTH * (high - low) - (last - first), 0)
    return first - lacking / 2, last + lacking / 2
