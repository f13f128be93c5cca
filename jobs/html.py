"""The Jinja2 environment of HTML pages: everything is escaped, and values are written as people read them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobs.wording import cell, counted_noun, duration, expected_cell, percent, shown, utc, visible, words


def html_environment(package: str) -> Environment:
    """Return the environment of the templates of a package."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printed,
    )
    environment.tests |= {"facts": _is_facts, "table": _is_table}
    environment.filters |= {
        "percent": percent,
        "cell": _cell,
        "expected": _expected,
        "duration": duration,
        "counted": counted_noun,
    }
    environment.filters["words"] = words
    return environment


def _printed(value: Any) -> Any:
    """Return a value as people read it: times in UTC, numbers with separators, no unprintable characters."""
    if isinstance(value, Markup):
        return value
    return visible(utc(value) if isinstance(value, datetime) else shown(value))


def _cell(value: Any) -> str:
    return visible(cell(value))


def _expected(expected: Any, value: Any) -> str:
    return visible(expected_cell(value, expected))


def _is_facts(paragraph: Any) -> bool:
    return isinstance(paragraph, Mapping)


def _is_table(paragraph: Any) -> bool:
    return hasattr(paragraph, "columns")
