"""Database addresses, shown without their secrets."""

import re
from urllib.parse import quote, quote_plus

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_MASK = "***"
_IN_MEMORY = ":memory:"
_MIN_MASKED_LENGTH = 6  # a shorter password is part of many words, so it is masked only in the places of an address

# Options of an address whose values may be shown; any other may hold a secret.
_HARMLESS = re.compile(
    r"application_name|cache|charset|check_same_thread|client_encoding|collation|(connect_|read_|write_)?timeout|dbname|"
    r"driver|encrypt|fallback_application_name|gssencmode|host|hostaddr|immutable|keepalives\w*|memory_limit|mode|nolock|options|port|"
    r"require_auth|service|sslcert|sslkey|sslmode|sslrootcert|target_session_attrs|threads|trustservercertificate|unix_socket|"
    r"uri|user|vfs",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(://[^\s:/@]*:)\S*@")
_IN_PAIR = r"((?:{})\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s&;,]+)"
_ALWAYS_MASKED = r"passw(?:or)?d|passphrase|pwd|secret|token"


def display_name(url: URL) -> str:
    """Return the address without its password and without the values of options that may be secret."""
    shown = url.update_query_dict(dict.fromkeys(_secret_options(url), _MASK))
    return (
        shown.render_as_string(hide_password=True).replace(quote(_MASK), _MASK).replace(quote(_IN_MEMORY), _IN_MEMORY)
    )


def has_stray_mark(url: URL) -> bool:
    """Return whether parts of a password became host or database, since it holds signs that an address escapes.

    >>> [has_stray_mark(make_url(f"postgresql://a:{password}@h/d")) for password in ("p@ss/w", "p@ss", "p%40ss")]
    [True, True, False]
    """
    return url.host is not None and "@" in url.host + (url.database or "")


def has_password(url: SecretStr) -> bool:
    """Return whether a database address holds a password, or an option that may be one."""
    try:
        parsed = make_url(url.get_secret_value())
    except (ArgumentError, ValueError):  # opening it reports the error
        return True
    return bool(parsed.password) or bool(_secret_options(parsed))


def without_secrets(text: str, url: URL) -> str:
    """Mask the secrets of an address in a text.

    A long secret is masked everywhere; a short one only in the password's place of an address or after its name.
    """
    options = _secret_options(url)
    secrets = [str(url.password or ""), *(part for name in options for part in url.normalized_query[name])]
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    for form in sorted(forms, key=len, reverse=True):  # one may be part of another
        if len(form) >= _MIN_MASKED_LENGTH:
            text = text.replace(form, _MASK)
    names = "|".join([_ALWAYS_MASKED, *map(re.escape, options)])
    text = re.sub(_IN_PAIR.format(names), rf"\1{_MASK}", text, flags=re.IGNORECASE)
    return _IN_ADDRESS.sub(rf"\1{_MASK}@", text)


def _secret_options(url: URL) -> list[str]:
    return [name for name in url.query if not _HARMLESS.fullmatch(name)]
