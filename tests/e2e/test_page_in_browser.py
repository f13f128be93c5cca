"""The operator's pages in a real browser: the way from the fleet to a label, access, accessibility, and silence."""

import json
import re
import socket
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests import browser
from tests.alert_receiver import receiving
from tests.browser import NARROW, WIDE, visiting
from tests.e2e.conftest import Plant
from tests.e2e.serve_process import serving
from tests.workspace import PUMP, SMALL_MODEL, readings

# One worker, since the served store is shared.
pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(browser.path() is None, reason=f"Chromium is not installed: {browser.HOW_TO_INSTALL}"),
]
PATHS = (
    "/",
    "/page/monitors/pump?days=1",
    "/page/incidents/1",
    "/page/records/1",
    "/page/records/1/row?cell:flow=99",
    "/page/monitors/pump/models",
    "/page/models/1",
    "/page/models/1/map",
    "/page/events",
    "/page/alerts",
    "/page/monitors/pump/tune",
    "/page/monitors/pump/tune?rate_log=-1.3",
    "/page/maintenance",
    "/page/keys",
    "/page/login",
    "/page/nowhere",
)
SERIES = PUMP.replace('categorical = ["mode"]\n', "")
COMMANDS = (
    "migrate",
    "import readings.csv --table pump_readings",
    *(f"{command} {monitor}" for monitor in ("pump", "line") for command in ("train", "score")),
)
LABEL = "SELECT label FROM anomalies WHERE id = :id"
CONFIG = """\
[store]
url = "sqlite:///plumbline.db"
[service]
log = "json"
port = {port}
[alerts]
link = "http://127.0.0.1:{port}/page/incidents/{{id}}"
[alerts.channels]
ops = "{channel}"
[monitors.pump]
{monitor}
score_every = "never"
alert.newest = "36500d"
[monitors.pump.model]
{model}
[monitors.line]
{series}
score_every = "never"
alert.channels = []
[monitors.line.series]
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A served store with flagged records, incidents and delivered alerts."""
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    plant = Plant(folder, f"http://127.0.0.1:{port}")
    readings().to_csv(folder / "readings.csv", index=False)
    with receiving() as receiver:
        text = CONFIG.format(port=port, channel=receiver.address, monitor=PUMP, series=SERIES, model=SMALL_MODEL)
        (folder / "config.toml").write_text(text, encoding="utf-8")
        for command in COMMANDS:
            plant.must(*command.split())
        with serving(plant) as process:
            process.until(lambda: receiver.received)
            plant.results["alert"] = receiver.received[0]
            yield plant


@pytest.fixture(scope="module")
def chromium():
    with browser.running() as started:
        yield started


@pytest.fixture
def visit(site, chromium):
    with visiting(chromium, site.url) as opened:
        yield opened


@pytest.fixture
def without_keys(site):
    """Delete at the end the keys that a test leaves, so that the pages are open."""
    yield
    site.query("DELETE FROM api_keys")


@pytest.fixture
def keys(site, without_keys):
    """The secrets of a reader and a writer; without them the pages are open."""
    return {
        name: json.loads(site.must("keys", "add", name, "--scope", name, "--json").out)["key"]
        for name in ("read", "write")
    }


def sign_in(visit, secret):
    visit.page.get_by_label("API key").fill(secret)
    visit.page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_the_way_from_the_fleet_to_a_label_in_the_table(site, chromium, has_script):
    label = "confirmed" if has_script else "known"
    with visiting(chromium, site.url, java_script_enabled=has_script) as visit:
        page = visit.page
        visit.go("/")
        page.get_by_role("link", name="pump").click()
        page.locator(".lane svg a").first.click()
        assert "pressure" in page.locator("main").inner_text()
        page.locator("table.stacked a").first.click()
        record = page.url.rpartition("/")[2]
        if not has_script:
            page.get_by_role("link", name="The row in its table").click()
        page.get_by_text("Other columns of the row").wait_for()
        assert "is_fault" in page.locator("#in-table").inner_text()
        visit.go(f"/page/records/{record}")
        page.get_by_role("button", name=label).click()
        page.get_by_role("button", name=label, pressed=True).wait_for()
    assert site.query(LABEL, id=record) == [(label,)]


def test_the_span_of_a_monitor_changes_without_a_new_page_and_stays_in_the_address(visit):
    visit.go("/page/monitors/pump?days=7")
    visit.page.evaluate("window.isKept = true")
    visit.page.get_by_role("link", name="1 day", exact=True).click()
    visit.page.wait_for_url("**days=1*")
    visit.page.locator("[aria-current]", has_text="1 day").wait_for()
    assert visit.page.evaluate("window.isKept")
    assert visit.page.locator("#incidents time:not([title])").count() == 0
    visit.page.go_back()
    visit.page.locator("[aria-current]", has_text="7 days").wait_for()


def test_dragging_over_the_lanes_zooms_in(visit):
    visit.go("/page/monitors/pump?days=7")
    box = visit.page.locator(".lanes svg.row").first.bounding_box()
    at = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + 0.5 * box["width"], at)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 0.75 * box["width"], at, steps=3)
    visit.page.mouse.up()
    visit.page.wait_for_url("**since=*")
    since, until = (parse_qs(urlsplit(visit.page.url).query)[name][0] for name in ("since", "until"))
    hours = (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds() / 3600
    assert hours == pytest.approx(7 * 24 / 4, rel=0.02)


def test_the_channels_of_an_incident_of_a_series_show_values_on_hover(site, visit):
    ((incident,),) = site.query("SELECT id FROM incidents WHERE monitor = 'line' ORDER BY peak_severity DESC LIMIT 1")
    visit.go(f"/page/incidents/{incident}")
    chart = visit.page.locator(".uplot").first
    chart.locator(".u-over").hover()
    assert re.search(r"measured-?\d", chart.locator(".u-legend").inner_text())
    assert "UTC)" in chart.inner_text()
    assert visit.page.locator(".channels img").count() == 0
    assert "a known fault, by the label column" in visit.page.locator(".annotations").inner_text()


def test_an_incident_without_channels_shows_the_picture_of_the_server(visit):
    visit.go("/page/incidents/1")
    visit.page.locator("img.channels").wait_for()
    assert visit.page.locator(".uplot").count() == 0


def test_other_values_are_scored_on_the_page_of_a_record(visit):
    visit.go("/page/records/1")
    visit.page.get_by_label("pressure").scroll_into_view_if_needed()
    visit.page.get_by_label("pressure").fill("much")
    visit.page.get_by_role("button", name="Score these values").click()
    assert "Expected a finite number" in visit.page.get_by_role("alert").inner_text()
    visit.faults.clear()  # of the status 422
    visit.page.get_by_label("pressure").fill("3.0")
    visit.page.get_by_role("button", name="Score these values").click()
    visit.page.get_by_role("columnheader", name="edited values").wait_for()


def test_the_link_of_a_delivered_alert_opens_its_incident(site, visit):
    (link,) = [word for word in site.results["alert"]["message"].split() if word.startswith("http://")]
    assert visit.go(urlsplit(link).path).status == 200
    assert visit.page.get_by_role("heading", level=1).inner_text().startswith("Incident")


def test_times_are_in_the_zone_of_the_viewer_with_utc_on_hover(visit):
    visit.go("/page/records/1")
    time = visit.page.locator("dd time").first
    assert time.get_attribute("title").endswith("UTC")
    utc, local = (int(text.partition(":")[0].split()[-1]) for text in (time.get_attribute("title"), time.inner_text()))
    assert (local - utc) % 24 in {1, 2}


def test_a_reader_sees_every_page_and_no_form(site, visit, keys):
    visit.go("/page/records/1")
    sign_in(visit, keys["read"])
    assert urlsplit(visit.page.url).path == "/page/records/1"
    expect(visit.page.locator("main form")).to_have_count(0)
    visit.page.get_by_role("button", name="Sign out").click()
    assert urlsplit(visit.page.url).path == "/page/login"


def test_a_form_without_the_token_of_its_session_is_refused(site, visit, keys):
    before = site.query(LABEL, id=1)
    visit.go("/page/records/1")
    sign_in(visit, keys["write"])
    token = visit.page.locator("main input[name=token]")
    token.evaluate("input => input.value = '0'.repeat(64)")
    visit.page.get_by_role("button", name="false positive").click()
    assert visit.page.get_by_role("alert").inner_text().startswith("The form is out of date")
    visit.faults.clear()  # of the status 403
    assert site.query(LABEL, id=1) == before


@pytest.fixture
def tunings(site):
    """The stored settings, which later tests do not find."""
    yield "SELECT settings FROM tunings"
    site.query("DELETE FROM tunings")


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_settings_are_previewed_and_stored_with_who_did_it(site, chromium, tunings, has_script):
    with visiting(chromium, site.url, java_script_enabled=has_script) as visit:
        visit.page.set_default_timeout(120_000)
        visit.go("/page/monitors/pump/tune")
        visit.page.get_by_label("from severity", exact=True).fill("7")
        visit.page.get_by_role("button", name="Preview").click()
        visit.page.get_by_role("columnheader", name="proposed").wait_for()
        visit.page.get_by_role("button", name="Store and use").click()
        visit.page.get_by_text("Stored settings are in force").wait_for()
    ((settings,),) = site.query(tunings)
    assert json.loads(settings) == {"alert": {"severity": 7.0}}
    assert site.query("SELECT action, monitor FROM audit ORDER BY id DESC LIMIT 1") == [("tune", "pump")]


AWAIT_PREVIEW = """() => {
  const preview = document.getElementById("preview");
  preview.setAttribute("aria-busy", "true");
  preview.setAttribute("hx-get", "/page/monitors/pump/tune?awaited");
  preview.setAttribute("hx-trigger", "load, again");
  preview.setAttribute("hx-select", "#preview");
  preview.setAttribute("hx-swap", "outerHTML");
  htmx.process(preview);
}"""


def test_a_preview_is_requested_again_while_the_service_is_busy(visit):
    statuses = [429, 503]
    visit.go("/page/monitors/pump/tune")
    visit.page.route(
        "**/tune?awaited", lambda route: route.fulfill(status=statuses.pop()) if statuses else route.continue_()
    )
    visit.page.evaluate(AWAIT_PREVIEW)
    visit.page.locator("#preview:not([aria-busy])").wait_for()
    assert visit.page.locator("#preview").inner_text().startswith("Change the settings")
    assert (statuses, len(visit.faults)) == ([], 4)  # two lines of each answer in the console
    visit.faults.clear()


def test_a_rate_that_flags_nothing_is_replaced_on_the_page(site, visit, tunings):
    too_small = {"settings": '{"false_positive_rate": 0.000001}', "at": "2026-03-01 00:00:00.000000"}
    site.query("INSERT INTO tunings VALUES ('pump', :settings, :at, 'x')", **too_small)
    visit.go("/page/monitors/pump/tune?rate_log=-1.3")
    visit.page.get_by_role("button", name="Store and use").click()
    visit.page.get_by_text("Stored settings are in force").wait_for()
    ((settings,),) = site.query(tunings)
    assert json.loads(settings) == {"false_positive_rate": 0.05}


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_a_maintenance_window_is_added_and_ended(site, chromium, has_script):
    with visiting(chromium, site.url, java_script_enabled=has_script) as visit:
        visit.go("/page/monitors/pump/maintenance")
        visit.page.get_by_label("Reason").fill("new bearings")
        visit.page.get_by_role("button", name="Add").click()
        visit.page.get_by_role("button", name="End now").click()
        visit.page.get_by_role("heading", name="Over").wait_for()
    acts = site.query("SELECT action FROM audit WHERE action LIKE '%maintenance' ORDER BY id DESC LIMIT 2")
    assert acts == [("end maintenance",), ("add maintenance",)]


def test_a_key_is_created_used_and_revoked(visit, without_keys):
    visit.go("/page/keys")
    visit.page.get_by_label("Name").fill("boss")
    visit.page.get_by_label("Scope").select_option("admin")
    visit.page.get_by_role("button", name="Create").click()
    secret = visit.page.locator("pre").inner_text()
    visit.page.get_by_role("link", name="sign in").click()
    sign_in(visit, secret)
    visit.page.get_by_role("link", name="Keys").click()
    visit.page.get_by_role("button", name="Revoke").click()
    assert urlsplit(visit.page.url).path == "/page/login"


def test_a_model_becomes_the_champion_and_is_rolled_back(site, visit):
    copied = "monitor, created_at, sha256, artifact, manifest, card, card_markdown"
    site.query(f"INSERT INTO models (state, {copied}) SELECT 'challenger', {copied} FROM models WHERE id = 1")
    ((challenger,),) = site.query("SELECT max(id) FROM models")
    visit.go(f"/page/models/{challenger}")
    visit.page.get_by_role("button", name="Make it the champion").click()
    visit.page.locator("h1 .champion").wait_for()
    visit.go("/page/monitors/pump/models")
    visit.page.get_by_role("button", name="Roll back").click()
    assert visit.page.get_by_role("heading", level=1).inner_text() == "Model 1 champion"
    acts = site.query("SELECT action FROM audit WHERE action IN ('promote', 'roll back') ORDER BY id DESC LIMIT 2")
    assert acts == [("roll back",), ("promote",)]


def test_no_page_has_a_serious_fault_of_accessibility(site, chromium):
    ((series,),) = site.query("SELECT min(id) FROM incidents WHERE monitor = 'line'")
    found = {}
    with visiting(chromium, site.url) as visit:
        for path in (*PATHS, f"/page/incidents/{series}"):
            visit.page.emulate_media(color_scheme="light")
            visit.go(path)
            if path.endswith(str(series)):
                visit.page.locator(".uplot").first.wait_for()
            faults = Axe().run(visit.page).response["violations"]
            visit.page.emulate_media(color_scheme="dark")
            faults += Axe().run(visit.page, options={"runOnly": ["color-contrast"]}).response["violations"]
            serious = [fault for fault in faults if fault["impact"] in {"serious", "critical"}]
            found |= {f"{path} {fault['id']}": [node["html"] for node in fault["nodes"]][:3] for fault in serious}
        visit.faults = [fault for fault in visit.faults if "404" not in fault]
    assert not found, found


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_is_wider_than_the_screen(site, chromium, size):
    with visiting(chromium, site.url, viewport=size) as visit:
        widths = {
            path: (visit.go(path), visit.page.evaluate("document.documentElement.scrollWidth"))[1] for path in PATHS
        }
        visit.faults = [fault for fault in visit.faults if "404" not in fault]
    assert {path for path, width in widths.items() if width > size["width"]} == set()
