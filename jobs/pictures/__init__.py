"""Pictures of records, scores and causes, drawn from plain values. The only package that imports matplotlib."""

from jobs.pictures.files import format_of, inline_pair, inline_svg, rendered, save, write
from jobs.pictures.overview import draw_overview
from jobs.pictures.scores import draw_daily_rates
from jobs.pictures.style import DARK, LIGHT, THEMES, Canvas
from jobs.pictures.views import draw_view

__all__ = [
    "DARK",
    "LIGHT",
    "THEMES",
    "Canvas",
    "draw_daily_rates",
    "draw_overview",
    "draw_view",
    "format_of",
    "inline_pair",
    "inline_svg",
    "rendered",
    "save",
    "write",
]
