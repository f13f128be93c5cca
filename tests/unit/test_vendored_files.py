"""Scripts of others among the files of pages are those that docs/dependencies.md lists, with their licences."""

import hashlib
import re

import pytest

from tests.workspace import ROOT

FOLDER = ROOT / "jobs" / "api" / "pages" / "static"
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
LISTED = dict(re.findall(r"^\| `([\w.-]+\.min\.\w+)`.*`([0-9a-f]{64})` \|$", PAGE, re.MULTILINE))


def test_every_vendored_file_is_listed():
    assert {file.name for file in FOLDER.glob("*.min.*")} == set(LISTED)


@pytest.mark.parametrize("name", sorted(LISTED))
def test_a_vendored_file_is_unchanged_and_has_a_licence(name):
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == LISTED[name]
    licence = FOLDER / f"{name.partition('.min')[0]}.LICENSE.txt"
    assert "Permission" in licence.read_text(encoding="utf-8")
