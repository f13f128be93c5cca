"""Every type of column is used, read as its text, or refused by name; one that is not watched disturbs nothing."""

import pytest
from sqlalchemy import text

from jobs.checks import check_monitor
from jobs.databases import open_engine, writing
from jobs.reading.source import Source, keys_of
from jobs.starter.proposing import Choices, propose_monitor
from schemas.config import MonitorConfig
from schemas.keys import KeyRange

TIME = "'2026-01-01'::timestamptz + i * interval '1 minute'"
ROWS = "FROM generate_series(1, 60) AS i"

# Each type, with a value.
TYPES = {
    "tags text[]": "ARRAY['a', 'b']",
    "grid integer[]": "'{{1,2},{3,4}}'",
    "times timestamptz[]": "ARRAY[now()]",
    "state text_state": "'low'",
    "states text_states": "'low'",
    "amount amount": "12.50",
    "price money": "'12.30'",
    "bits bit(3)": "B'101'",
    "flags bit varying(5)": "B'10'",
    "doc json": "'{\"a\": 1}'",
    "docb jsonb": "'{\"a\": 1}'",
    "guid uuid": "'00000000-0000-0000-0000-000000000001'",
    "wait interval": "'1 day 02:00'",
    "raw bytea": "'\\x0102'",
    "span int4range": "'[1,2)'",
    "period tstzrange": "'[2020-01-01,2021-01-01)'",
    "spans nummultirange": "'{[1,2)}'",
    "address inet": "'10.0.0.1'",
    "net cidr": "'10.0.0.0/24'",
    "mac macaddr": "'08:00:2b:01:02:03'",
    "place point": "'(1,2)'",
    "area polygon": "'((1,2),(3,4),(5,6))'",
    "pair real_pair": "'(1,x)'",
    "words tsvector": "'a b'",
    "odd numeric": "'NaN'",
    "clock timetz": "'12:00+02'",
    "code char(5)": "'ab'",
    "number oid": "12",
    "class regclass": "'pg_class'",
    "late timestamptz": "'infinity'",
    "far timestamp": "'20000-01-01'",
}
NAMES = [column.split()[0] for column in TYPES]
NUMBERS = {"amount", "price", "odd"}
KEYS = ("state", "code", "guid", "amount")


@pytest.fixture
def engine(postgres_url):
    engine = open_engine(postgres_url)
    statements = [
        "CREATE TYPE text_state AS ENUM ('low', 'high')",  # named as texts are
        "CREATE DOMAIN text_states AS text_state",
        "CREATE DOMAIN amount AS numeric(10, 2)",
        "CREATE TYPE real_pair AS (a int, b text)",
        f"CREATE TABLE odd_things (id bigint PRIMARY KEY, flow float8, read_at timestamptz, {', '.join(TYPES)})",
        f"INSERT INTO odd_things SELECT i, i, {TIME}, {', '.join(TYPES.values())} {ROWS}",
    ]
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement.replace(":", r"\:")))
    yield engine
    engine.dispose()


def monitored(engine, **settings):
    given = {"table": "odd_things", "key": "id", "numeric": ["flow"], "false_positive_rate": 0.05}
    return Source("m", MonitorConfig(**given | settings), engine)


def found(engine, **settings):
    source = monitored(engine, **settings)
    try:
        return {(finding.level, finding.message) for finding in check_monitor("m", source.monitor, source)}
    finally:
        source.close()


def test_no_type_disturbs_a_monitor_that_does_not_watch_it(engine):
    assert all(message.startswith("Feature 'flow' rises") for _, message in found(engine))
    proposal = propose_monitor(engine, "odd_things", Choices())
    features, left_out = proposal.columns.features, proposal.columns.left_out
    assert proposal.times.time == "read_at"
    assert left_out["state"].startswith("a category")
    assert set(left_out) | {name for names in features.values() for name in names} >= set(NAMES)


def test_every_type_may_be_a_category_by_its_text(engine):
    source = monitored(engine, categorical=NAMES)
    records = source.read_newest(2)
    source.close()
    texts = records.iloc[0][NAMES].to_dict()
    assert (texts["tags"], texts["state"], texts["amount"], texts["doc"]) == ("{a,b}", "low", "12.5", '{"a": 1}')
    assert (texts["bits"], texts["wait"], texts["place"], texts["number"]) == ("101", "1 day 02:00:00", "(1,2)", "12")
    stated = {
        message.split("'")[1] for level, message in found(engine, categorical=NAMES) if message.startswith("Column")
    }
    assert {"tags", "doc", "wait", "raw", "place", "pair"} <= stated
    assert not {"state", "code", "amount"} & stated


@pytest.mark.parametrize("role", ["numeric", "boolean", "label", "time"])
def test_other_roles_refuse_every_type_that_does_not_fit_by_name(engine, role):
    fitting = {"time": {"late", "far"}}.get(role, NUMBERS)
    for name in set(NAMES) - fitting:
        settings = {role: name} if role in {"label", "time"} else {role: [name], "numeric": ["flow"]}
        settings |= {"numeric": ["flow", name]} if role == "numeric" else {}
        errors = [message for level, message in found(engine, **settings) if level == "error"]
        assert errors, name
        assert f"Column {name!r} is listed as {role}, but its type is" in errors[0]


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_decimals_of_every_kind_are_numbers(engine, name):
    for settings in ({"numeric": ["flow", name]}, {"label": name}):
        assert not [message for level, message in found(engine, **settings) if level == "error"]


@pytest.mark.parametrize("name", [*KEYS, "tags", "doc", "address", "place"])
def test_a_type_in_the_key_is_compared_as_it_is_sorted_or_refused(engine, name):
    findings = found(engine, key=["id", name])
    errors = [message for level, message in findings if level == "error"]
    if name not in KEYS:
        assert f"Column {name!r} in the key is of type" in errors[0]
        return
    assert not errors
    source = monitored(engine, key=["id", name])
    keys = keys_of(source.read_newest(3), source.monitor.key)
    assert keys_of(source.read_keys(keys), source.monitor.key) == keys
    assert len(source.read(KeyRange(keys[0], keys[-1]))) == 2
    source.close()


@pytest.mark.parametrize("name", ["state", "tags", "guid", "address", "place", "doc"])
def test_an_entity_of_a_series_is_compared_or_refused(engine, name):
    findings = found(engine, entity=name, time="read_at", series={})
    errors = [message for level, message in findings if level == "error"]
    if name in {"place", "doc"}:
        assert any(f"The entity {name!r} is of type" in message for message in errors)
    else:
        assert not errors
