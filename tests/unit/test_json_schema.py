"""The JSON Schema by which editors check a configuration agrees with the program."""

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import jsonschema_rs
import pytest

from schemas.config import Config, parse_config
from schemas.errors import ConfigError
from schemas.json_schema import config_json_schema
from schemas.section import duration_text, parse_duration
from tests.workspace import PUMP, ROOT

BASE = '[monitors.pump]\ntable = "t"\nkey = "id"\nnumeric = ["flow"]\n'
VALIDATOR = jsonschema_rs.validator_for(config_json_schema())


def is_parsed(document):
    try:
        parse_config(document, Path("config.toml"))
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        "",
        BASE,
        f"[monitors.pump]\n{PUMP}",
        f'{BASE}time = "at"\nsettle = "1h 30m"\nlate_after = 30\nretrain.every = "0 3 * * 0"\nscore_every = "never"',
        f'{BASE}time = "at"\nentity = "pump"\nincident_gap = 900\nsilent_after = 30',
        f'{BASE}time = "at"\nentity = "pump"\nincident_gap = "auto"\nsilent_after = "never"',
        f'{BASE}incident_gap = "never"',
        f'{BASE}[[monitors.pump.maintenance]]\nstart = "2026-03-01T10:00:00"\nend = "2026-03-01T11:00:00"',
        '[alerts.channels]\nops = "json://localhost"',
        (ROOT / "config.toml").read_text(encoding="utf-8"),
        f"{BASE}false_positive_rat = 0.1",
        f"{BASE}false_positive_rate = 2",
        f'{BASE}threshold = "conformall"',
        f'{BASE}settle = "5 parsecs"',
        f"{BASE}key = 3".replace('key = "id"\n', ""),
        "[monitor.pump]",
    ],
)
def test_a_configuration_is_valid_for_the_editor_if_it_is_for_the_program(text):
    document = tomllib.loads(text)
    assert VALIDATOR.is_valid(document) == is_parsed(document)


def test_the_schema_has_each_description_and_no_null():
    schema = config_json_schema()
    properties = schema["$defs"]["MonitorConfig"]["properties"]
    assert properties["lease"]["default"] == "15m"
    assert "pattern" in properties["incident_gap"]["anyOf"][0]
    assert properties["settle"]["description"].startswith("Records younger than this")
    assert properties.keys() == Config.model_fields["monitors"].annotation.__args__[1].model_fields.keys()
    assert '"null"' not in json.dumps(schema)


@pytest.mark.parametrize("seconds", [0, 0.25, 1, 90, 5_400, 86_400, 604_800])
def test_the_text_of_a_duration_is_read_as_the_duration(seconds):
    duration = timedelta(seconds=seconds)
    assert parse_duration(duration_text(duration)) == duration
