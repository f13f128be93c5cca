"""Pictures as bytes of a file, as SVG inside a page, and as files."""

import re
from collections.abc import Callable
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from jobs.pictures.style import LIGHT, Canvas, Theme
from schemas.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Draw: TypeAlias = Callable[[Canvas], Figure]

Format = Literal["png", "svg"]
WIDE, NARROW = Canvas(width=900, text=9), Canvas(width=380, text=8.5)  # of pictures in a page
_LEFT_OUT = re.compile(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*|<style.*?</style>\s*", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_FRACTION = re.compile(r"(\.\d\d)\d+")  # beyond a hundredth of a point nothing shows
_FONT_NAMES = re.compile(r"'DejaVu Sans'[^;\"]*")


def format_of(path: Path) -> Format:
    """Return the format that the name of a file stands for.

    Raises:
        UsageError: If it stands for none.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        return "png"
    if suffix == ".svg":
        return "svg"
    msg = f"{path.name!r} is not the name of a picture. Use a name that ends in .png or .svg."
    raise UsageError(msg)


def rendered(figure: "Figure", format_: Format) -> bytes:
    """Return a figure as the bytes of a file; equal figures give equal bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format=format_, metadata={"Date": None} if format_ == "svg" else None)
    return buffer.getvalue()


def inline_svg(figure: "Figure", name: str) -> str:
    """Return a figure as an SVG element for an HTML page, whose style sheet sets the colours of the theme.

    Args:
        figure: drawn in the theme `LIGHT`.
        name: unique in the page; it prefixes the ids of the picture.
    """
    text = rendered(figure, "svg").decode("utf-8")
    text = _LEFT_OUT.sub("", text[text.index("<svg") :])
    return _TAG.sub(lambda tag: _adapted(tag[0], name), text)


def inline_pair(draw: "Draw", name: str) -> tuple[str, str]:
    """Return a picture as SVG elements of a page, one for wide and one for narrow screens.

    Args:
        draw: draws the picture on a canvas.
        name: unique in the page.
    """
    return inline_svg(draw(WIDE), f"{name}w"), inline_svg(draw(NARROW), f"{name}n")


def _adapted(tag: str, name: str) -> str:
    """Return a tag with unique ids, colours of the page's theme, the page's font, and no size of its own."""
    if tag.startswith("<svg"):
        tag = re.sub(r' (?:width|height)="[^"]*"', "", tag)
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", tag)
    for field in fields(Theme):
        tag = tag.replace(getattr(LIGHT, field.name), f"var(--{field.name})")
    return _FRACTION.sub(r"\1", _FONT_NAMES.sub("var(--font)", tag))


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG or SVG, by the name of the file.

    Raises:
        UsageError: If the file cannot be written, or its name stands for no format.
    """
    write(path, rendered(figure, format_of(path)))


def write(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        UsageError: If it cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as exc:
        msg = f"{path} cannot be written: {exc.strerror}. Choose another name or a writable folder."
        raise UsageError(msg) from exc
