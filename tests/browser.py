"""Chromium for tests of pages, driven by Playwright: what a page must not do is an error of its visit."""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

HOW_TO_INSTALL = "apt-get install chromium"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",  # a container has little of it
    "--disable-sync",
    "--no-first-run",
)


def path():
    """Return the path of Chromium, or None if the machine has none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running():
    """Start Chromium for the duration of a block, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path(), args=[*_QUIET])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page of a browser, with what it did that it must not do."""

    page: object
    address: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.set_default_timeout(20_000)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._on_request)

    def go(self, path):
        """Open a page of the service, and return the response."""
        return self.page.goto(self.address + path)

    def _on_console(self, message):
        if message.type in {"error", "warning"}:
            self.faults.append(f"console: {message.text}")

    def _on_request(self, request):
        if urlsplit(request.url).netloc != urlsplit(self.address).netloc:
            self.faults.append(f"request: {request.url}")


@contextmanager
def visiting(browser, address, **options):
    """Yield a visit in a new session, and check at its end that the pages did nothing that they must not do."""
    context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", **{"viewport": WIDE} | options)
    visit = Visit(context.new_page(), address)
    try:
        yield visit
    finally:
        context.close()
    assert not visit.faults, visit.faults
