"""The picture of a view: channels over time with their scores, or scores and distributions of single records."""

from typing import TYPE_CHECKING

from jobs.pictures.annotations import draw_annotations
from jobs.pictures.channels import channel_title, draw_channel, draw_incidents, draw_scores, style_channel, summary
from jobs.pictures.distributions import draw_distribution
from jobs.pictures.scores import draw_score_points, draw_training
from jobs.pictures.style import Canvas, add_legend, plain_text, style_axes, title, use_dates
from jobs.pictures.values import TrainingCurve, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCORES_HEIGHT, _CHANNEL_HEIGHT, _DISTRIBUTION_HEIGHT, _POINTS_HEIGHT = 110, 190, 200, 300  # pixels
_FRAME_HEIGHT, _TITLE_HEIGHT, _LEGEND_ROW_HEIGHT = 60, 34, 26  # pixels
_LEGEND_ROWS = {False: 1, True: 4}  # by whether the canvas is narrow


def draw_view(view: View, canvas: Canvas, *, heading: str = "", training: TrainingCurve | None = None) -> "Figure":
    """Draw a view, with one legend.

    Args:
        view: with at least one record.
        canvas: size and colours.
        heading: title of the picture; a page has its own.
        training: drawn next to the scores of single records.
    """
    figure = _draw_channels(view, canvas, heading) if view.channels else _draw_records(view, canvas, heading, training)
    if heading:
        style = {"fontsize": canvas.text + 3.5, "fontweight": "bold", "color": canvas.theme.ink}
        figure.suptitle(plain_text(heading, 100), x=0.01, ha="left", **style)
    add_legend(figure, canvas)
    return figure


def _frame_height(canvas: Canvas, heading: str) -> int:
    return _FRAME_HEIGHT + _LEGEND_ROW_HEIGHT * _LEGEND_ROWS[canvas.is_narrow] + (_TITLE_HEIGHT if heading else 0)


def _draw_channels(view: View, canvas: Canvas, heading: str) -> "Figure":
    heights = [*[_CHANNEL_HEIGHT] * len(view.channels), _SCORES_HEIGHT]
    figure = canvas.figure(sum(heights) + _frame_height(canvas, heading))
    *every_axes, score_axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    times = view.scores.times or ()
    for axes in (*every_axes, score_axes):
        style_axes(axes, canvas)
    if times[0] < times[-1]:
        score_axes.set_xlim(times[0], times[-1])
        score_axes.margins(x=0.01)
    for axes, channel in zip(every_axes, view.channels, strict=True):
        draw_incidents(axes, view.incidents, canvas)
        draw_channel(axes, channel, view.scores, view.gap, canvas)
        style_channel(axes, channel, canvas)
        channel_title(axes, channel, canvas)
        draw_annotations(axes, view.annotations, canvas)
    draw_incidents(score_axes, view.incidents, canvas)
    draw_scores(score_axes, view.scores, view.gap, canvas)
    draw_annotations(score_axes, view.annotations, canvas)
    title(score_axes, "anomaly score", canvas, note=summary(view.scores))
    use_dates(score_axes, canvas, times[0], times[-1])
    return figure


def _draw_records(view: View, canvas: Canvas, heading: str, training: TrainingCurve | None) -> "Figure":
    columns = _columns(len(view.distributions), canvas)
    rows = -(-len(view.distributions) // columns)
    heights = [_POINTS_HEIGHT, *[_DISTRIBUTION_HEIGHT] * rows]
    figure = canvas.figure(sum(heights) + _frame_height(canvas, heading) + (40 if rows else 0))
    parts = figure.subfigures(
        1 + bool(rows), 1, squeeze=False, height_ratios=[heights[0], sum(heights[1:])][: 1 + bool(rows)]
    )
    top = parts[0, 0]
    for part in parts.ravel():
        part.set_facecolor(canvas.theme.paper)
    if training is None or canvas.is_narrow:
        draw_score_points(top.subplots(), view, canvas)
    else:
        points, curve = top.subplots(1, 2, width_ratios=[3.2, 1])
        draw_score_points(points, view, canvas)
        draw_training(curve, training, canvas)
    if rows:
        every_axes = parts[1, 0].subplots(rows, columns, squeeze=False).ravel()
        for axes, distribution in zip(every_axes, view.distributions, strict=False):
            draw_distribution(axes, distribution, canvas)
        for axes in every_axes[len(view.distributions) :]:
            axes.set_axis_off()
    return figure


def _columns(panels: int, canvas: Canvas) -> int:
    """Return in how many columns panels stand, so that few places stay empty."""
    if canvas.is_narrow or not panels:
        return 1
    return panels if panels <= 3 else (2 if panels == 4 else 3)
