"""Common style of the pictures: colours of both themes, fonts, axes of values and times."""

import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.wording import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.dates import AutoDateLocator
    from matplotlib.figure import Figure

_ENTRY_WIDTH, _CHARACTER_WIDTH = 5.5, 0.88  # of a legend, in pixels for each point of text
MAX_TEXT_LENGTH = 60  # characters of a name from a table


@dataclass(frozen=True)
class Theme:
    """The colours of a picture; the lines are from Okabe and Ito's palette, safe for colour-blind readers.

    Attributes:
        paper: background.
        ink: titles and expected values.
        muted: labels of axes.
        grid: lines behind the values.
        hatch: stretches without records.
        measured: measured values, and records that are not flagged.
        band: normal band.
        flagged: flagged records and incidents.
        incident: background of an incident.
        known: known events and anomalies.
    """

    paper: str
    ink: str
    muted: str
    grid: str
    hatch: str
    measured: str
    band: str
    flagged: str
    incident: str
    known: str


LIGHT = Theme(
    paper="#ffffff",
    ink="#1f2933",
    muted="#5b6875",
    grid="#e4e7eb",
    hatch="#d3d8de",
    measured="#0072b2",
    band="#cfe6f5",
    flagged="#d55e00",
    incident="#fbe6d9",
    known="#b65c92",
)
DARK = Theme(
    paper="#14181d",
    ink="#eef2f6",
    muted="#a3afbb",
    grid="#2b333c",
    hatch="#3a444f",
    measured="#56b4e9",
    band="#1d3a4f",
    flagged="#ff8a3d",
    incident="#40291a",
    known="#e08bbd",
)
THEMES = {"light": LIGHT, "dark": DARK}


@dataclass(frozen=True)
class Canvas:
    """The size and the colours of a picture.

    Attributes:
        width: in pixels at 100 dots per inch.
        theme: the colours.
        text: size of the text in points.
    """

    width: int = 1100
    theme: Theme = LIGHT
    text: float = 9.5

    @property
    def is_narrow(self) -> bool:
        """Whether panels stand below each other and texts are short, as on a telephone."""
        return self.width < 600

    def figure(self, height: int) -> "Figure":
        """Return an empty figure of a height in pixels, whose layout keeps texts apart."""
        _use_plain_texts()
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05, hspace=0.02, wspace=0.03)
        size = (self.width / 100, height / 100)
        return Figure(figsize=size, dpi=100, layout=layout, facecolor=self.theme.paper)


def _use_plain_texts() -> None:
    """Set matplotlib to texts without markup, and to equal files for equal pictures; repeating it changes nothing."""
    import matplotlib as mpl

    mpl.rcParams.update(
        {
            "text.parse_math": False,
            "axes.formatter.use_mathtext": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "plumbline",
        }
    )
    # A character that the font lacks becomes a box in PNG; in SVG the viewer's fonts draw it.
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
    # Times thousands of years apart are drawn with fewer labels.
    warnings.filterwarnings("ignore", message="AutoDateLocator was unable to pick", category=UserWarning)


def plain_text(value: Any, length: int = MAX_TEXT_LENGTH) -> str:
    r"""Return a value of a table as a short printable text of one line.

    >>> plain_text("pump\n7"), plain_text("x" * 9, 5)
    ('pump\\n7', 'xxxx…')
    """
    text = visible(str(value))
    return text if len(text) <= length else text[: length - 1] + "…"


def style_axes(axes: "Axes", canvas: Canvas) -> None:
    """Apply the plain style: a faint grid, thin spines on the left and below, few ticks."""
    from matplotlib.ticker import MaxNLocator

    theme = canvas.theme
    axes.set_facecolor(theme.paper)
    axes.tick_params(labelsize=canvas.text, colors=theme.muted, length=3, width=0.8)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=theme.muted, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=2))
    axes.yaxis.set_major_formatter(readable)


def readable(value: float, _position: float = 0) -> str:
    """Return a number as people write it, for ticks and marks.

    >>> [readable(value) for value in (1200000.0, 9999.5, 0.25, 0.0, -3.5e-7)]
    ['1,200,000', '9,999.5', '0.25', '0', '-3.5e-07']
    """
    if value == 0 or 1e-3 <= abs(value) < 1e9:
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def title(axes: "Axes", text: str, canvas: Canvas, *, note: str = "") -> None:
    """Put a bold title above the axes, and a note at the right or, on a narrow picture, nothing."""
    style: dict[str, Any] = {"fontsize": canvas.text + 0.5, "pad": 5}
    axes.set_title(plain_text(text), loc="left", fontweight="bold", color=canvas.theme.ink, **style)
    if note and not canvas.is_narrow:
        axes.set_title(plain_text(note, 90), loc="right", color=canvas.theme.muted, **style)


def use_dates(axes: "Axes", canvas: Canvas, first: datetime, last: datetime) -> None:
    """Label the time axis: hours within a day, days otherwise, and the whole dates once below."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=4 if canvas.is_narrow else 8)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator,
        formats=["%Y", "%b %Y", "%-d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
        zero_formats=["", "%b %Y", "%-d %b", "%-d %b", "%H:%M", "%H:%M"],
        show_offset=False,
    )
    ticks = _ticks_within(axes, locator)  # once: matplotlib would search for them in each pass of the layout
    axes.set_xticks(ticks, formatter.format_ticks(ticks))  # type: ignore[no-untyped-call]
    axes.set_xlabel(date_range(first, last), loc="right", fontsize=canvas.text, color=canvas.theme.muted)


def _ticks_within(axes: "Axes", locator: "AutoDateLocator") -> list[float]:
    """Return the ticks of a locator that lie within the limits of the time axis."""
    from matplotlib.dates import num2date

    limits = axes.get_xlim()
    ticks = locator.tick_values(*(num2date(limit) for limit in limits))  # type: ignore[no-untyped-call]
    return [float(tick) for tick in ticks if limits[0] <= tick <= limits[1]]


def date_range(first: datetime, last: datetime) -> str:
    """Return the dates of a range of time, with what they have in common once.

    >>> date_range(datetime(2026, 2, 28), datetime(2026, 3, 1)), date_range(datetime(2026, 3, 1), datetime(2026, 3, 1))
    ('28 Feb to 1 Mar 2026, UTC', '1 Mar 2026, UTC')
    """
    if first.date() == last.date():
        return f"{last:%-d %b %Y}, UTC"
    start = f"{first:%-d %b}" if first.year == last.year else f"{first:%-d %b %Y}"
    return f"{start} to {last:%-d %b %Y}, UTC"


def add_legend(figure: "Figure", canvas: Canvas) -> None:
    """Add one legend below all axes, with each entry once."""
    entries = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles: dict[str, Any] = {}
    for entry in entries:
        for handle, label in zip(*entry, strict=True):
            handles.setdefault(label, handle)
    if not handles:
        return
    rows = -(-sum(_ENTRY_WIDTH + _CHARACTER_WIDTH * len(label) for label in handles) * canvas.text // canvas.width)
    columns = 2 if canvas.is_narrow else -(-len(handles) // max(int(rows), 1))
    legend = figure.legend(
        list(handles.values()), list(handles), loc="outside lower left", ncols=columns, frameon=False,
        fontsize=canvas.text, labelcolor=canvas.theme.ink, handlelength=1.6, columnspacing=1.4,
    )  # fmt: skip
    legend.set_in_layout(True)
