"""Maintenance windows, other champions and labels, drawn over time into axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.pictures.channels import widened
from jobs.pictures.style import Canvas
from jobs.pictures.values import Annotation, AnnotationKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STRIPS: dict[AnnotationKind, tuple[float, float]] = {"label": (0.0, 0.035), "known": (0.045, 0.08)}
"""The part of the height of the axes in which spans of a kind are drawn."""
NAMES: dict[AnnotationKind, str] = {
    "maintenance": "maintenance",
    "model": "model change",
    "label": "label",
    "known": "known fault",
}
"""The names of the legend."""


def draw_annotations(axes: "Axes", annotations: Sequence[Annotation], canvas: Canvas) -> None:
    """Shade maintenance windows, draw a line at each other champion, and a strip along labelled records."""
    theme, limits = canvas.theme, axes.get_xlim()
    for item in annotations:
        start, end = widened(axes, item.start, item.end)
        style: dict[str, Any] = {"label": NAMES[item.kind]}
        if item.kind == "model":
            axes.axvline((start + end) / 2, color=theme.ink, linewidth=1.4, linestyle=(0, (1, 2)), zorder=3, **style)
        elif item.kind == "maintenance":
            style |= {"facecolor": theme.grid, "edgecolor": theme.muted, "hatch": "....", "linewidth": 0}
            axes.axvspan(max(start, limits[0]), min(end, limits[1]), zorder=0.45, alpha=0.7, **style)
        else:
            low, high = _STRIPS[item.kind]
            colour = theme.ink if item.kind == "label" else theme.known
            axes.axvspan(start, end, low, high, color=colour, linewidth=0, zorder=4.5, **style)
    axes.set_xlim(*limits)
