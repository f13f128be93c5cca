"""Stored or proposed settings as lines of config.toml."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from schemas.tuning import Tuning, problem_of


def config_lines(name: str, tuning: Tuning) -> str:
    """Return the lines of config.toml that set what a tuning sets.

    >>> print(config_lines("pump", Tuning(false_positive_rate=0.002, alert={"consecutive": 3, "quiet_hours": ""})))
    [monitors.pump]
    false_positive_rate = 0.002
    <BLANKLINE>
    [monitors.pump.alert]
    consecutive = 3
    # remove the line of quiet_hours
    """
    settings = tuning.settings
    rules = settings.pop("alert", {})
    parts = [[f"[monitors.{name}]", *_lines(settings)]] if settings else []
    parts += [[f"[monitors.{name}.alert]", *_lines(rules)]] if rules else []
    return "\n\n".join("\n".join(part) for part in parts)


def stored_lines(name: str, settings: Mapping[str, Any]) -> str:
    """Return the lines of stored settings; of those of a later version, a comment with the way out.

    >>> stored_lines("pump", {"mood": "good"})
    '# They cannot be used: mood: Extra inputs are not permitted. To remove them: plumbline tune clear pump'
    """
    try:
        return config_lines(name, Tuning.model_validate(settings))
    except ValidationError as exc:
        return f"# They cannot be used: {problem_of(exc)}. To remove them: plumbline tune clear {name}"


def _lines(settings: dict[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        yield f"# remove the line of {key}" if value == "" else f"{key} = {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(name)} = {_text(part)}" for name, part in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").isalnum() else json.dumps(name, ensure_ascii=False)
