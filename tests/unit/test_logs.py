"""One event per line, with the facts of its context, whatever its content."""

import io
import json
import logging
import threading
import warnings

import pytest

from jobs.logs import add_to_log_context, configure_logs, log_context
from schemas.errors import StoreError

log = logging.getLogger("plumbline")
HOSTILE = 'line\nbreak\r{"a": 1} \x1b[31m "quoted" 100% %s'


@pytest.fixture
def lines():
    """Configure logging into a text and return its lines; restore the setting afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, log.level
    stream = io.StringIO()

    def configured(form):
        configure_logs(form, stream)
        return lambda: stream.getvalue().splitlines()

    yield configured
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level, log.level = before


def test_a_line_of_json_has_its_facts_and_the_run_it_belongs_to(lines):
    read = lines("json")
    with log_context(monitor="pump"):
        add_to_log_context(run=7)
        log.info("scored %d", 3, extra={"facts": {"records": 3}})
    add_to_log_context(run=8)
    log.info("after")
    first, second = map(json.loads, read())
    assert first.pop("at").endswith("Z")
    assert first == {
        "level": "info",
        "logger": "plumbline",
        "message": "scored 3",
        "monitor": "pump",
        "run": 7,
        "records": 3,
    }
    assert "run" not in second


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_event_is_one_line_whatever_its_content(lines, form):
    read = lines(form)
    with log_context(monitor=HOSTILE):
        log.error("%s", HOSTILE)
        log.error("a bug", exc_info=ValueError(HOSTILE))
    assert len(read()) == 2
    assert "ValueError" in read()[1]
    assert all(line.isprintable() for line in read())


def test_an_expected_error_has_no_traceback(lines):
    read = lines("json")
    exc = StoreError("The database is away.")
    log.error("failed: %s", exc, exc_info=exc)
    (line,) = map(json.loads, read())
    assert line["message"] == "failed: The database is away."
    assert "traceback" not in line


def test_contexts_of_threads_do_not_mix(lines):
    read = lines("json")
    inside = threading.Barrier(2, timeout=30)

    def work(run):
        with log_context(run=run):
            inside.wait()
            log.info("line of %d", run)

    threads = [threading.Thread(target=work, args=(run,)) for run in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(line["message"], line["run"]) for line in map(json.loads, read())} == {("line of 1", 1), ("line of 2", 2)}


def test_warnings_of_libraries_are_logged(lines):
    read = lines("text")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("this will change", FutureWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "this will change" in read()[0]
