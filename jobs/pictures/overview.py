"""A picture of several entities: the scores of each with its known events, then the records around each event."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.pictures.channels import (
    channel_title,
    draw_channel,
    draw_incidents,
    draw_scores,
    style_channel,
    widened,
)
from jobs.pictures.style import Canvas, add_legend, plain_text, style_axes, use_dates
from jobs.pictures.values import Case, Overview, Span
from jobs.wording import counted_noun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_ENTITY_HEIGHT, _CASE_HEIGHT, _FRAME_HEIGHT = 175, 520, 90  # pixels
_CASE_COLUMNS = 3
_BAR: dict[str, Any] = {"linewidth": 7, "solid_capstyle": "butt"}


def draw_overview(overview: Overview, canvas: Canvas, heading: str) -> "Figure":
    """Draw an overview, with one legend.

    Args:
        overview: with at least one entity and one event.
        canvas: size and colours.
        heading: title of the picture.
    """
    rows = -(-len(overview.cases) // _CASE_COLUMNS)
    heights = [_ENTITY_HEIGHT * len(overview.scores), _CASE_HEIGHT * rows]
    figure = canvas.figure(sum(heights) + _FRAME_HEIGHT)
    top, panels = figure.subfigures(2, 1, height_ratios=heights, squeeze=False).ravel()
    for part in (top, panels):
        part.set_facecolor(canvas.theme.paper)
    style = {"fontsize": canvas.text + 6, "fontweight": "bold", "color": canvas.theme.ink}
    figure.suptitle(plain_text(heading, 100), x=0.008, ha="left", **style)
    _draw_entities(top, overview, canvas)
    for place, case in zip(panels.subfigures(rows, _CASE_COLUMNS, squeeze=False).ravel(), overview.cases, strict=False):
        place.set_facecolor(canvas.theme.paper)
        _draw_case(place, case, canvas)
    add_legend(figure, canvas)
    return figure


def _draw_entities(figure: "SubFigure", overview: Overview, canvas: Canvas) -> None:
    every_axes = figure.subplots(len(overview.scores), 1, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (entity, scores) in zip(every_axes, overview.scores.items(), strict=True):
        times = scores.times or ()
        style_axes(axes, canvas)
        axes.set_xlim(times[0], times[-1])
        draw_scores(axes, scores, overview.gap, canvas, name="anomaly score")
        axes.set_ylabel(plain_text(entity, 24), fontsize=canvas.text + 1, fontweight="bold", color=canvas.theme.ink)
        _mark_events(axes, overview.events.get(entity, ()), canvas)
    every_time = [time for scores in overview.scores.values() for time in scores.times or ()]
    use_dates(every_axes[-1], canvas, min(every_time), max(every_time))


def _mark_events(axes: "Axes", events: Sequence[Span], canvas: Canvas) -> None:
    """Draw each event as a bar with its name above the axes."""
    above, theme = axes.get_xaxis_transform(), canvas.theme
    for event in events:
        span = widened(axes, event.start, event.end)
        axes.plot(span, [1.02, 1.02], color=theme.known, transform=above, label="injected event", clip_on=False, **_BAR)
        style: dict[str, Any] = {"fontsize": canvas.text, "color": theme.ink, "va": "bottom"}
        axes.text(span[0], 1.07, plain_text(event.name), transform=above, **style)


def _draw_case(figure: "SubFigure", case: Case, canvas: Canvas) -> None:
    """Draw an event and the incidents near it as bars, and below them the channels named as causes."""
    view = case.view
    times = view.scores.times or ()
    bars, *every_axes = figure.subplots(
        1 + len(view.channels), 1, sharex=True, height_ratios=[0.26, *[1] * len(view.channels)], squeeze=False
    ).ravel()
    bars.set_xlim(times[0], times[-1])
    _draw_bars(bars, case, canvas)
    for axes, channel in zip(every_axes, view.channels, strict=True):
        style_axes(axes, canvas)
        draw_incidents(axes, view.incidents, canvas)
        draw_channel(axes, channel, view.scores, view.gap, canvas)
        style_channel(axes, channel, canvas)
        channel_title(axes, channel, canvas)
    use_dates(every_axes[-1], canvas, times[0], times[-1])


def _draw_bars(axes: "Axes", case: Case, canvas: Canvas) -> None:
    theme, incidents = canvas.theme, case.view.incidents
    axes.set_facecolor(theme.paper)
    style: dict[str, Any] = {"loc": "left", "fontsize": canvas.text + 2, "fontweight": "bold", "color": theme.ink}
    axes.set_title(plain_text(case.headline), pad=20, **style)
    colour = theme.flagged if case.causes else theme.muted
    text = axes.annotate(
        plain_text(case.causes or "nothing flagged"), (0, 1), xytext=(0, 6), xycoords="axes fraction",
        textcoords="offset points", fontsize=canvas.text, color=colour,
    )  # fmt: skip
    text.set_in_layout(False)
    axes.plot(widened(axes, case.event.start, case.event.end), [1, 1], color=theme.known, **_BAR)
    for incident in incidents:
        axes.plot(widened(axes, incident.start, incident.end), [0, 0], color=theme.flagged, **_BAR)
    axes.set_ylim(-0.7, 1.7)
    axes.set_yticks([1, 0], ["injected", counted_noun(len(incidents), "incident")])
    axes.tick_params(length=0, labelbottom=False, labelsize=canvas.text, labelcolor=theme.ink)
    axes.spines[:].set_visible(False)
