"""The scores of single records as points, the training curve, and flagged records by day, drawn into axes."""

from datetime import datetime, time
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.pictures.annotations import draw_annotations
from jobs.pictures.channels import as_array, draw_incidents, summary
from jobs.pictures.style import Canvas, add_legend, style_axes, title, use_dates
from jobs.pictures.values import DailyRates, TrainingCurve, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOG_SCALE_RATIO = 30  # of the largest score to the smallest, from which on the axis is logarithmic
_MANY_RECORDS = 800  # from which on points are small
_DAILY_HEIGHT = 220  # pixels
_MIN_DAYS = 7  # on the axis of days


def draw_score_points(axes: "Axes", view: View, canvas: Canvas) -> None:
    """Draw a point for each record, by time or else by position, with the threshold."""
    theme, scores = canvas.theme, view.scores
    values, thresholds = as_array(scores.scores), as_array(scores.thresholds)
    places = np.arange(1, len(values) + 1) if scores.times is None else np.array(scores.times, dtype=object)
    is_flagged = np.array(scores.is_flagged, dtype=bool)
    is_known = np.zeros(len(values), dtype=bool) if scores.is_known is None else np.array(scores.is_known, dtype=bool)
    style_axes(axes, canvas)
    size = 3.5 if len(values) > _MANY_RECORDS else 6
    axes.plot(places[~is_known], values[~is_known], ".", markersize=size, color=theme.measured, mew=0, label="record")
    axes.plot(places, thresholds, color=theme.ink, linewidth=1.1, linestyle=(0, (5, 3)), label="threshold", zorder=3)
    if is_flagged.any():
        diameter = 5.5 if canvas.is_narrow else 7.5
        ring: dict[str, Any] = {"mec": theme.flagged, "markerfacecolor": "none", "markersize": diameter, "mew": 1.1}
        axes.plot(places[is_flagged], values[is_flagged], "o", label="flagged record", zorder=2.5, **ring)
    if is_known.any():
        style: dict[str, Any] = {"color": theme.known, "markersize": 3.6, "mew": 0, "zorder": 2.4}
        axes.plot(places[is_known], values[is_known], "D", label="known anomaly", **style)
    if scores.times is not None:
        draw_incidents(axes, view.incidents, canvas)
        use_dates(axes, canvas, scores.times[0], scores.times[-1])
    else:
        axes.set_xlabel("records in order of their keys", loc="right", fontsize=canvas.text, color=theme.muted)
    axes.margins(x=0.01)
    _scale(axes, values, canvas)
    if scores.times is not None:  # points have the faults that the label column marks
        draw_annotations(axes, [item for item in view.annotations if item.kind != "known"], canvas)
    title(axes, "anomaly score", canvas, note=summary(scores))


def draw_training(axes: "Axes", training: TrainingCurve, canvas: Canvas) -> None:
    """Draw the ELBO after each epoch, each line with its name at its end."""
    theme = canvas.theme
    style_axes(axes, canvas)
    lines = (
        ("training records", as_array(training.training_elbo), theme.measured, "-"),
        ("held-out records", as_array(training.held_out_elbo), theme.known, "--"),
    )
    for name, values, colour, dashes in lines:
        if not np.isnan(values).all():
            axes.plot(training.epochs, values, color=colour, linewidth=1.8, linestyle=dashes)
            axes.annotate(
                name, (training.epochs[-1], values[-1]), xytext=(0, 5), textcoords="offset points", ha="right",
                fontsize=canvas.text, color=colour,
            )  # fmt: skip
    axes.margins(y=0.12)
    axes.set_xlabel("epoch", fontsize=canvas.text, color=theme.muted)
    title(axes, "ELBO per record (nats)", canvas)


def draw_daily_rates(rates: DailyRates, canvas: Canvas) -> "Figure":
    """Draw the flagged records of each day as bars, with the number that the configured rate allows."""
    figure = canvas.figure(_DAILY_HEIGHT + (40 if canvas.is_narrow else 0))
    axes, theme = figure.subplots(), canvas.theme
    style_axes(axes, canvas)
    days = np.array(rates.days, dtype="datetime64[D]")
    axes.bar(days, rates.flagged, width=0.8, color=theme.flagged, label="flagged records", zorder=2)
    if rates.rate is not None:
        allowed = rates.rate * np.array(rates.records, dtype=float)
        half = np.timedelta64(12, "h")
        axes.hlines(
            allowed, days - half, days + half, color=theme.ink, linewidth=1.4, zorder=3,
            label="configured rate",
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    missing_days = max(_MIN_DAYS - (days[-1] - days[0]).astype(int) - 1, 0)
    margin = np.timedelta64(14 + 12 * int(missing_days), "h")
    axes.set_xlim(days[0] - margin, days[-1] + margin)
    axes.grid(visible=False, axis="x")
    first, last = (datetime.combine(day, time()) for day in (rates.days[0], rates.days[-1]))
    use_dates(axes, canvas, first, last)
    title(axes, "flagged records by day", canvas)
    add_legend(figure, canvas)
    return figure


def _scale(axes: "Axes", values: np.ndarray, canvas: Canvas) -> None:
    """Use a logarithmic axis if the scores span several powers of ten."""
    positive = values[values > 0]
    if len(positive) < np.isfinite(values).sum() or not len(positive):
        return
    if positive.max() > _LOG_SCALE_RATIO * positive.min():
        from matplotlib.ticker import LogLocator, NullLocator

        formatter = axes.yaxis.get_major_formatter()
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if not canvas.is_narrow else (1, 3)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(formatter)
