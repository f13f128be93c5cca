"""docs/api.md: its examples work, its table lists every path, its error is the actual one."""

import json
import re
import shlex

import pytest

from tests.api_service import NOW, api_document, module_url, opened_service, serving
from tests.integration.test_managing import fill_table
from tests.workspace import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^curl (?:.|\\\n)*?(?=\n```)", PAGE.replace("\\\n", " "), re.MULTILINE | re.DOTALL)
SECRET = "key"


@pytest.fixture(scope="module", params=["sqlite"])
def client(request, tmp_path_factory):
    with module_url(request, tmp_path_factory) as url, opened_service(url) as service, serving(service) as client:
        fill_table(service.store, tmp_path_factory.mktemp("records") / "pump.parquet")
        service.store.api_keys.add("page", "write", SECRET, NOW)
        yield client


def parts_of(example):
    """Return method, path, body and headers of a curl command."""
    words = shlex.split(re.sub(r"\$(KEY)\b", SECRET, example).replace("$PLUMBLINE", ""))[1:]
    options = [(words[at], words[at + 1]) for at in range(len(words) - 1) if words[at] in {"-H", "-d"}]
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    body = next((value.encode() for option, value in options if option == "-d"), None)
    return "GET" if body is None else "POST", words[-1], body, headers


def test_there_is_an_example_of_each_kind():
    assert [parts_of(example)[:2] for example in EXAMPLES] == [
        ("GET", "/monitors"),
        ("GET", "/anomalies?monitor=pump&label=open&since=2026-01-05T00:00:00Z&limit=2"),
        ("POST", "/anomalies/1/label"),
        ("POST", "/incidents/1/notes"),
        ("POST", "/monitors/pump/retrain"),
        ("POST", "/monitors/pump/tuning/preview"),
        ("POST", "/monitors/pump/maintenance"),
        ("POST", "/monitors/pump/score"),
    ]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_works(client, example):
    answer = client.send(*parts_of(example))
    assert answer.status in {200, 202}, answer.body


def test_its_table_lists_every_path():
    documented = set(re.findall(r"^\| `(GET|POST|DELETE) (/\S*)` \|", PAGE, re.MULTILINE))
    paths = api_document()["paths"]
    assert documented == {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_its_tables_name_every_filter():
    paths = api_document()["paths"]
    for path in ("/anomalies", "/incidents", "/events"):
        (row,) = re.findall(rf"^\| `GET {path}` \| .*filters (.*) \|$", PAGE, re.MULTILINE)
        parameters = {item["name"] for item in paths[path]["get"]["parameters"]} - {"limit", "before"}
        assert set(re.findall(r"`(\w+)`", row)) == parameters


def test_its_error_is_the_actual_one(client):
    (shown,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    _, path, body, headers = parts_of(EXAMPLES[-1])
    wrong = body.replace(b"48.2", b'"high"')
    assert client.send("POST", path, wrong, headers).json == shown


def test_it_names_every_documented_status():
    paths = api_document()["paths"]
    answers = [operation["responses"] for methods in paths.values() for operation in methods.values()]
    promised = {int(status) for responses in answers for status in responses}
    named = {int(status) for status in re.findall(r"\b[45]\d\d\b", PAGE.partition("| status | meaning |")[2])}
    assert {status for status in promised if status >= 400} == named - {500}
