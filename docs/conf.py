"""The documentation as a site: `make docs`."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.docs import reference_pages  # noqa: E402 - the path comes first

project = "Plumbline"
author = "The authors of Plumbline"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "**/.*"]
html_theme = "furo"
html_title = "Plumbline"
html_static_path: list[str] = []
html_extra_path = ["llms.txt"]
html_copy_source = False
html_show_copyright = False
myst_heading_anchors = 4
myst_links_external_new_tab = False
autodoc_mock_imports = ["keras", "tensorflow"]  # they take seconds to import, and no signature names them
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
smartquotes = False
highlight_language = "none"
# Fences of console output and of examples that end in "..." are no complete programs.
suppress_warnings = ["misc.highlighting_failure"]

reference_pages(Path(__file__).parent / "reference")


def setup(app: Sphinx) -> None:
    """Let links to the repository's own pages lead to their copies in the site."""
    app.connect("source-read", link_copies)


def link_copies(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Replace the links of a page, such as ``../CHANGELOG.md``."""
    source[0] = re.sub(r"\]\(\.\./(ARCHITECTURE|CHANGELOG)\.md", lambda m: f"](reference/{m[1].lower()}.md", source[0])
