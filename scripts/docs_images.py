"""Write pictures of the operator's pages for the documents, from the demo, in Chromium.

`python -m scripts.docs_images` serves the demo in the folder `demo`, which `plumbline demo` writes, and writes the
pictures that the documents show. `--all FOLDER` writes every page, 1,440 and 390 pixels wide, light and dark.
"""

import argparse
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from tests import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ADDRESS = "http://127.0.0.1:8321"
SHOWN = Path("docs/pictures/page")
INCOMPLETE = "[aria-busy=true]"  # a preview that is being computed
PREVIEW_MILLISECONDS = 300_000
REVEAL = "document.querySelectorAll('[hx-trigger=revealed]').forEach(part => part.scrollIntoView())"
COLOURS = 128  # of a picture: pages have few, and a palette halves the file
_MAX_HEIGHTS = {1440: 1_500, 390: 2_000}  # pixels of a page, by its width


@dataclass(frozen=True)
class Look:
    """How a page is seen."""

    width: int
    scheme: str

    @property
    def suffix(self) -> str:
        """Part of the name of a file."""
        return f"{self.width}_{self.scheme}"


LOOKS = [Look(width, scheme) for width, scheme in product((1440, 390), ("light", "dark"))]
CHOSEN = {
    "fleet": LOOKS[0],
    "monitor": LOOKS[0],
    "incident": LOOKS[0],
    "incident_narrow": LOOKS[3],
    "model": LOOKS[1],
}
"""The pictures of the documents, by the name of the page."""


def main() -> int:
    """Write the pictures, and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder of the demo")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="write every page in every look to a folder")
    arguments = parser.parse_args()
    if browser.path() is None:
        sys.exit(f"Chromium is not installed. Install it: {browser.HOW_TO_INSTALL}")
    paths = page_paths(arguments.demo / "plumbline.db")
    with serving(arguments.demo / "config.toml"), browser.running() as chromium:
        for name, look in chosen(paths, is_all=arguments.all is not None):
            folder = arguments.all or SHOWN
            file = folder / (f"{name}_{look.suffix}.png" if arguments.all else f"{name}.png")
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(compressed(picture(chromium, paths[name.removesuffix("_narrow")], look)))
            print(f"{file}: {file.stat().st_size // 1024} KiB")  # noqa: T201 - a script
    return 0


def chosen(paths: Mapping[str, str], *, is_all: bool) -> Iterator[tuple[str, Look]]:
    """Yield the name and the look of each picture."""
    yield from product(paths, LOOKS) if is_all else CHOSEN.items()


def page_paths(store: Path) -> dict[str, str]:
    """Return the address of each page by name: of the demo's longest incident, its main record, and the champions."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:

        def first(sql: str) -> int:
            return int(connection.execute(sql).fetchone()[0])

        later = "monitor = 'pump' AND start_time > '2026-02-16'"  # than the training
        incident = first(f"SELECT id FROM incidents WHERE {later} ORDER BY records DESC, id LIMIT 1")
        of_incident = f"incident_id = {incident} ORDER BY severity DESC, id LIMIT 1"
        champion = "SELECT id FROM models WHERE state = 'champion' AND monitor = '{}'"
        cell = "monitor = 'breast_cancer' AND superseded_at IS NULL ORDER BY severity DESC, id LIMIT 1"
        return {
            "fleet": "/",
            "monitor": "/page/monitors/pump?days=30",
            "incident": f"/page/incidents/{incident}",
            "record_of_series": f"/page/records/{first(f'SELECT id FROM anomalies WHERE {of_incident}')}",
            "record": f"/page/records/{first(f'SELECT id FROM anomalies WHERE {cell}')}",
            "models": "/page/monitors/pump/models",
            "model_of_series": f"/page/models/{first(champion.format('pump'))}",
            "model": f"/page/models/{first(champion.format('breast_cancer'))}",
            "events": "/page/events",
            "alerts": "/page/alerts",
            "tune": "/page/monitors/pump/tune?rate_log=-2.7&in_row=2&in_row_of=3&days=14",
            "maintenance": "/page/maintenance",
            "keys": "/page/keys",
            "login": "/page/login",
        }


@contextmanager
def serving(config: Path) -> Iterator[None]:
    """Serve the demo for the duration of a block."""
    command = [sys.executable, "-m", "plumbline", "serve", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own program
    try:
        log = cast("Any", process.stderr)
        if not any("serving" in line for line in log):
            sys.exit(f"The demo cannot be served. Make it first: plumbline demo. Then try: {' '.join(command[2:])}")
        yield
    finally:
        process.terminate()
        process.communicate()


def picture(chromium: "Browser", path: str, look: Look) -> bytes:
    """Return a page as PNG, down to a length that fits a document."""
    with browser.visiting(
        chromium, ADDRESS, viewport={"width": look.width, "height": 900}, color_scheme=look.scheme
    ) as visit:
        visit.go(path)
        visit.page.evaluate(REVEAL)
        visit.page.wait_for_selector(INCOMPLETE, state="detached", timeout=PREVIEW_MILLISECONDS)
        visit.page.wait_for_load_state("networkidle")
        height = min(visit.page.evaluate("document.documentElement.scrollHeight"), _MAX_HEIGHTS[look.width])
        visit.page.evaluate("scrollTo(0, 0)")
        content: bytes = visit.page.screenshot(
            full_page=True, clip={"x": 0, "y": 0, "width": look.width, "height": height}
        )
    return content


def compressed(content: bytes) -> bytes:
    """Return a PNG with a palette."""
    buffer = BytesIO()
    Image.open(BytesIO(content)).convert("RGB").quantize(COLOURS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
