"""Pages of the documentation that are generated from the code when the site is built."""

import re
from collections.abc import Callable
from pathlib import Path

from scripts.docs.commands import commands_page
from scripts.docs.errors import errors_page
from scripts.docs.tables import tables_page

_ROOT = Path(__file__).parents[2]
PAGES: dict[str, Callable[[], str]] = {"options": commands_page, "errors": errors_page, "tables": tables_page}
COPIES = ("architecture", "changelog")


def reference_pages(folder: Path) -> None:
    """Write the generated pages into a folder; a page that has not changed keeps its time."""
    folder.mkdir(exist_ok=True)
    pages = {name: page() for name, page in PAGES.items()}
    pages |= {name: _copy(f"{name.upper()}.md") for name in COPIES}
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _copy(name: str) -> str:
    """Return a page of the repository, with links as they are from the folder of the generated pages."""
    text = (_ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\((?:docs/)([^)]+)\)", r"](../\1)", text)
