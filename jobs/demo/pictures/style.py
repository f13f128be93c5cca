"""Common style of the pictures: colours, fonts, time axes, file format."""

from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, LIGHT = "#1f2933", "#616e7c", "#e4e7eb", "#eceef1"
# Okabe and Ito's palette, safe for colour-blind readers.
BLUE, SKY, FLAGGED, KNOWN = "#0072b2", "#56b4e9", "#d55e00", "#cc79a7"


def style_axes(axes: "Axes", y_label: str, x_label: str = "", size: int = 14) -> None:
    """Apply the plain style to axes: labels, a faint grid, left and bottom spines."""
    axes.set_ylabel(y_label, fontsize=size, color=INK)
    axes.set_xlabel(x_label, fontsize=size, color=INK)
    axes.tick_params(labelsize=size - 2, colors=MUTED)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)


def use_short_dates(axes: "Axes") -> None:
    """Label the time axis concisely, without repeating the date in each label."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        UsageError: If the file cannot be written.
    """
    try:
        figure.savefig(path, format="png")
    except OSError as exc:
        msg = f"The picture {path} cannot be written: {exc.strerror}. Choose a writable folder."
        raise UsageError(msg) from exc
