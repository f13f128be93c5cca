"""docs/config.md lists exactly the keys with their defaults; its examples load."""

import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from schemas.config import ModelConfig, MonitorConfig, RuntimeConfig, StoreConfig, parse_config
from schemas.section import Section, parse_duration
from schemas.series import SeriesConfig
from schemas.service import (
    AlertsConfig,
    DriftConfig,
    MaintenanceWindow,
    MonitorAlerts,
    RetrainConfig,
    ServiceConfig,
    SourceTimeouts,
    Timeouts,
)

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text(encoding="utf-8")
SECTIONS = {
    "store": StoreConfig,
    "store.timeouts": Timeouts,
    "runtime": RuntimeConfig,
    "service": ServiceConfig,
    "alerts": AlertsConfig,
    "monitors.NAME": MonitorConfig,
    "monitors.NAME.model": ModelConfig,
    "monitors.NAME.series": SeriesConfig,
    "monitors.NAME.retrain": RetrainConfig,
    "monitors.NAME.drift": DriftConfig,
    "monitors.NAME.alert": MonitorAlerts,
    "monitors.NAME.timeouts": SourceTimeouts,
    "monitors.NAME.maintenance": MaintenanceWindow,
}


def documented(section):
    """Return the keys of a section of the page with the text of their defaults."""
    _, _, rest = PAGE.partition(f"[{section}]")
    return dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|", rest.partition("\n## ")[0], re.MULTILINE))


def written(default):
    """Return a default as the configuration writes it."""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return list(default) if isinstance(default, tuple) else default


def read(text, default):
    """Return the value of a default on the page."""
    words = {"required": PydanticUndefined, "none": None, '`"conformal"`, of series `"online"`': PydanticUndefined}
    if text in words:
        return words[text]
    value = tomllib.loads(f"value = {text.strip('`')}")["value"]
    return parse_duration(value) if isinstance(default, timedelta) else value


@pytest.mark.parametrize(("section", "model"), SECTIONS.items())
def test_the_page_lists_every_key_with_its_default(section, model):
    fields = {
        name: field.default
        for name, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section))
    }
    page = documented(section)
    assert list(page) == list(fields)
    assert {name: read(page[name], fields[name]) for name in page} == {k: written(v) for k, v in fields.items()}


def test_its_examples_are_one_valid_configuration():
    examples = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
    config = parse_config(tomllib.loads(examples), Path("config.toml"))
    assert config.monitors["pump"].model.score == "elbo"
