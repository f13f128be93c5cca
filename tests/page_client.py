"""Requests of a browser without JavaScript: pages as text, forms with their token, and sessions."""

import re
from urllib.parse import urlencode

from tests.chaos.waiting import until

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def text(client, path, **headers):
    """Return the text of a page."""
    answer = client.get(path, **headers)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def preview(client, path, **headers):
    """Return the text of a page of settings once its preview is computed."""
    pages = []

    def is_computed():
        pages.append(text(client, path, **headers))
        return 'aria-busy="true"' not in pages[-1]

    until(is_computed, "the preview is computed")
    return pages[-1]


def token_of(html):
    """Return the token of the forms of a page."""
    return re.search(r'name="token" value="(\w+)"', html)[1]


def post(client, path, fields, **headers):
    """Send a form, and return the answer."""
    return client.send("POST", path, urlencode(fields).encode(), FORM | headers)


def sign_in(client, secret, to="/"):
    """Sign in with a key, and return the answer and the headers of the session."""
    answer = post(client, "/page/login", {"key": secret, "to": to})
    return answer, {"Cookie": answer.headers.get("set-cookie", "").partition(";")[0]}
