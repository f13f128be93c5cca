"""Settings that are tried on scored history do in the next replayed day exactly what the preview states."""

import sqlite3
import tomllib
from contextlib import closing
from datetime import timedelta

import pandas as pd
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import delete

from jobs.app import open_store
from jobs.champions import load_scorer
from jobs.databases import open_engine, writing
from jobs.maintenance import Maintenance, window_rows
from jobs.reading.source import Source
from jobs.scoring.run import score_monitor
from jobs.settings_in_force import config_in_force, refuse_unfit_tunings, settings_in_force
from jobs.store import AnomalyQuery, AuditQuery, IncidentQuery, NewWindow, migrations
from jobs.tuning.comparison import Champion, Comparisons
from jobs.tuning.history import read_history
from jobs.tuning.lines import config_lines
from jobs.tuning.preview import outcome_of
from jobs.tuning.storing import refuse_unfit
from schemas.config import Config, MonitorConfig
from schemas.errors import ConfigError, RateTooSmall, UsageError
from schemas.tables import alerts, anomalies, incidents
from schemas.tuning import Tuning, problem_of, tuned
from tests.machines import START
from tests.series_monitor import MIXER, Mixer, readings

FIRST_DAY, LAST_RUN = 10, 14  # hourly runs
SECOND_DAY = (LAST_RUN - FIRST_DAY) / 24  # days
HOUR = timedelta(hours=1)
SETTINGS = MIXER | {
    "false_positive_rate": 0.02,
    "batch_size": 100,
    "score_every": "1h",
    "settle": "1m",
    "incident_gap": "10m",
    "silent_after": "never",
    "alert": {"channels": ["ops"], "quiet_hours": "11:00-12:00", "look_alike_radius": 0},
}
PROPOSED = {
    "false_positive_rate": 0.05,
    "alert": {"consecutive": {"records": 2, "of": 3}, "severity": 5, "ignore_below": {"speed": 0.3}, "quiet_hours": ""},
}
KINDS = {
    "online": {"threshold": "online"},
    "series": {},
    "records": {"series": None, "model": {"members": 1, "steps": 20}},
}


def config_of(kind):
    given = {name: value for name, value in (SETTINGS | kind).items() if value is not None}
    return MonitorConfig(**given | ({"series": {"network": False}} if "series" in given else {}))


@pytest.fixture(scope="module", params=KINDS)
def station(request, tmp_path_factory):
    """Machines whose records were scored run by run, and a copy of their store from before the second day."""
    folder, config = tmp_path_factory.mktemp("station"), config_of(KINDS[request.param])
    engine = open_engine(SecretStr(f"sqlite:///{folder / 'plumbline.db'}"))
    migrations.upgrade(engine)
    mixer = Mixer(open_store(engine), folder, START)
    mixer.fill(readings())
    mixer.train(**KINDS[request.param])
    score_runs(mixer.store, config, [FIRST_DAY])
    with (
        closing(sqlite3.connect(folder / "plumbline.db")) as written,
        closing(sqlite3.connect(folder / "copy.db")) as copy,
    ):
        written.backup(copy)
    score_runs(mixer.store, config, range(FIRST_DAY + 1, LAST_RUN + 1))
    copy = open_engine(SecretStr(f"sqlite:///{folder / 'copy.db'}"))
    yield mixer.store, open_store(copy), config
    mixer.close()
    engine.dispose()
    copy.dispose()


def score_runs(store, config, hours):
    """Score what came until each hour, at the settings in force."""
    for hour in hours:
        source = Source("mixer", settings_in_force(store, "mixer", config), store.engine)
        score_monitor(source, store, lambda at=START + hour * HOUR: at)
        source.close()


def history_of(store, config):
    source = Source("mixer", config, store.engine)
    champion = store.models.require_champion("mixer")
    scorer = load_scorer(store, champion, config)
    try:
        return read_history(source, store, scorer, champion.model_id, days=SECOND_DAY)
    finally:
        source.close()


def forget_alarms(store):
    with writing(store.engine) as connection:
        for table in (alerts, incidents, anomalies):
            connection.execute(delete(table))


def test_a_preview_states_exactly_what_the_next_replayed_day_does(station):
    scored, replayed, config = station
    tuning = Tuning.model_validate(PROPOSED)
    outcome = outcome_of(history_of(scored, config), scored, tuned("mixer", config, tuning), START + LAST_RUN * HOUR)
    forget_alarms(replayed)
    replayed.tunings.put("mixer", tuning.settings, START, "key ada")
    score_runs(replayed, config, range(FIRST_DAY + 1, LAST_RUN + 1))
    assert outcome.flagged == replayed.anomalies.count(AnomalyQuery("mixer")) > 0
    assert outcome.alerts == replayed.alert_history.counts("mixer")
    assert outcome.alerts.alerts > 0
    assert outcome.faults.faults == 2


def test_incidents_that_no_occasion_is_for_do_not_count_as_alerted(station):
    scored, _, config = station
    rules = config.alert.model_copy(update={"on": ("reminder",), "escalate_severity": 1e9})
    reminded = config.model_copy(update={"alert": rules})
    outcome = outcome_of(history_of(scored, config), scored, reminded, START + LAST_RUN * HOUR)
    assert (outcome.alerted_incidents, outcome.alerts.alerts) == (0, 0)
    assert outcome.alerts.incidents > 0


def test_records_judged_at_another_rate_are_as_scored_at_it(station):
    scored, _, config = station
    other = config.model_copy(update={"false_positive_rate": 0.05})
    (first, *_), (expected, *_) = history_of(scored, config).pages, history_of(scored, other).pages
    champion = scored.models.require_champion("mixer")
    judged = load_scorer(scored, champion, config).at_rate(0.05).judged(first.scored, first.entities)
    fixed = load_scorer(scored, champion, other).judged(expected.scored, expected.entities)
    pd.testing.assert_frame_equal(judged, fixed)
    if config.threshold != "online":
        pd.testing.assert_frame_equal(judged, expected.scored)


def test_stored_settings_are_in_force_until_they_are_removed(store, now):
    config = config_of(KINDS["records"])
    store.tunings.put("mixer", Tuning.model_validate(PROPOSED).settings, now, "key ada")
    tuned_config = settings_in_force(store, "mixer", config)
    assert (tuned_config.false_positive_rate, tuned_config.alert.quiet_hours) == (0.05, None)
    assert (tuned_config.alert.flagged_of.records, tuned_config.alert.flagged_of.of) == (2, 3)
    assert tuned_config.alert.channels == ("ops",)
    store.tunings.clear("mixer", now, "key ada")
    assert settings_in_force(store, "mixer", config) == config
    assert [act.action for act in store.audit.page(AuditQuery("mixer"))] == ["clear tuning", "tune"]
    with pytest.raises(UsageError, match="has no stored settings"):
        store.tunings.clear("mixer", now, "key ada")


def test_stored_settings_that_no_longer_fit_are_reported_with_the_way_out(store, now):
    store.tunings.put("mixer", {"alert": {"direction": {"torque": "up"}}}, now, "key ada")
    without = config_of(KINDS["records"]).model_copy(update={"numeric": ("speed", "load")})
    with pytest.raises(ConfigError, match="no longer fit config.toml.*plumbline tune clear mixer"):
        settings_in_force(store, "mixer", without)
    config = Config(monitors={"mixer": without}, alerts={"channels": {"ops": "json://localhost"}})
    assert config_in_force(store, config) == config
    with pytest.raises(ConfigError, match="no longer fit"):
        refuse_unfit_tunings(store, config)


def test_a_stored_window_mutes_like_one_of_the_configuration(store, now):
    config = config_of(KINDS["records"])
    windows, hour = store.maintenance_windows, timedelta(hours=1)
    windows.add("mixer", NewWindow(now, now + hour, "a", "new bearings"), now, "key ada")
    cancelled = windows.add("mixer", NewWindow(now + hour, now + 2 * hour), now, "key ada")
    windows.end(cancelled, now, "key ada")
    maintenance = Maintenance.of(settings_in_force(store, "mixer", config))
    assert [maintenance.mutes(entity, now) for entity in ("a", "b")] == [True, False]
    assert not maintenance.mutes("a", now + hour)
    assert [row.state for row in window_rows("mixer", config, windows.of("mixer"), now)] == ["cancelled", "open"]
    with pytest.raises(UsageError, match="is cancelled. There is nothing to end"):
        windows.end(cancelled, now, "key ada")


def test_stored_windows_count_for_settings_in_force_and_for_proposed_ones(station):
    scored, _, config = station
    windows, end = scored.maintenance_windows, START + LAST_RUN * HOUR
    all_of_it = windows.add("mixer", NewWindow(START, end + HOUR), START, "key ada")
    source = Source("mixer", settings_in_force(scored, "mixer", config), scored.engine)
    champion = scored.models.require_champion("mixer")
    ready = Champion(champion.model_id, load_scorer(scored, champion, config))
    proposed = tuned("mixer", config, Tuning.model_validate({"alert": {"escalate_severity": 90}}))
    compared = Comparisons().compare(source, scored, ready, proposed, SECOND_DAY, end)
    source.close()
    windows.end(all_of_it, START, "key ada")
    assert compared.now.flagged == compared.proposed.flagged > 0
    assert (compared.now.alerts.alerts, compared.proposed.alerts.alerts) == (0, 0)


def test_the_lines_of_settings_are_toml_that_sets_them():
    proposed = PROPOSED | {"alert": PROPOSED["alert"] | {"quiet_hours": "22:00-06:00", "direction": {'t"ü q': "up"}}}
    tuning = Tuning.model_validate(proposed)
    assert tomllib.loads(config_lines("mixer", tuning))["monitors"]["mixer"] == tuning.settings


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"consecutive": {"records": 5, "of": 3}}, "alert.consecutive: of 3 records no 5 can be flagged"),
        ({"consecutive": {"records": 5, "of": 5000}}, "alert.consecutive.of: Input should be less than or equal to"),
        ({"consecutive": 5000}, "alert.consecutive: Input should be less than or equal to"),
        ({"ignore_below": {"speed": float("inf")}}, "alert.ignore_below.speed: Input should be a finite number"),
        ({"quiet_hours": "9-10"}, "alert.quiet_hours: String should match pattern"),
    ],
)
def test_the_problem_of_settings_is_stated_in_the_form_that_they_have(rules, problem):
    with pytest.raises((ValidationError, ConfigError)) as refused:
        tuned("mixer", config_of(KINDS["records"]), Tuning.model_validate({"alert": rules}))
    text = problem_of(refused.value) if isinstance(refused.value, ValidationError) else str(refused.value)
    assert problem in text


def test_a_rate_that_the_champion_cannot_resolve_is_refused(station):
    scored, _, config = station
    champion = scored.models.require_champion("mixer")
    tuning = Tuning(false_positive_rate=1e-5)
    with pytest.raises(RateTooSmall):
        refuse_unfit("mixer", config, tuning, lambda: load_scorer(scored, champion, config))


def test_a_rate_that_decides_nothing_is_refused():
    config = config_of(KINDS["records"] | {"flag": "fdr", "false_discovery_rate": 0.2})
    with pytest.raises(UsageError, match="does not flag by a false-positive rate"):
        refuse_unfit("mixer", config, Tuning(false_positive_rate=0.1), lambda: None)


def test_labels_of_people_judge_the_alarms(station):
    scored, _, config = station
    (newest, *_) = (
        item for item in scored.incidents.page(IncidentQuery("mixer")) if item.start_time > START + 10 * HOUR
    )
    scored.incidents.label(newest.id, "confirmed", START)
    history, now = history_of(scored, config), START + LAST_RUN * HOUR
    kept = outcome_of(history, scored, config, now).verdicts
    deaf = tuned("mixer", config, Tuning.model_validate({"alert": {"records": 999}}))
    lost = outcome_of(history, scored, deaf, now).verdicts
    scored.incidents.label(newest.id, "open", START)
    assert (kept.faults, kept.found, kept.precision) == (1, 1, 1.0)
    assert (lost.faults, lost.found, lost.precision) == (1, 0, None)
