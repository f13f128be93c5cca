"""Commands and the service use stored settings and maintenance windows in place of those of the configuration."""

import pytest

from jobs.app import App
from jobs.execution import worker
from jobs.serving.service import Service
from jobs.serving.service_state import ServiceState
from jobs.store import EventQuery, NewWindow, migrations
from schemas.errors import ConfigError

MONITOR = '[monitors.pump]\ntable = "readings"\nkey = "id"\ntime = "at"\nnumeric = ["flow"]\n'


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{tmp_path / "p.db"}"\n{MONITOR}', encoding="utf-8")
    with App.opened(path) as app:
        migrations.upgrade(app.engine)
        yield app


def test_commands_and_the_service_use_what_is_stored_at_the_start_of_a_run(app, now):
    state = ServiceState(app)
    app.store.tunings.put("pump", {"false_positive_rate": 0.2, "alert": {"records": 3}}, now, "user")
    app.store.maintenance_windows.add("pump", NewWindow(now, now.replace(hour=23)), now, "user")
    with state.open_source("pump") as of_service:
        for monitor in (of_service.monitor, app.source("pump").monitor, state.settings("pump"), app.monitor("pump")):
            assert (monitor.false_positive_rate, monitor.alert.records, len(monitor.maintenance)) == (0.2, 3, 1)
    configured = app.configured_source("pump").monitor
    assert (configured.false_positive_rate, configured.alert.records, configured.maintenance) == (0.01, 1, ())


def test_a_worker_elsewhere_reads_what_is_stored(app, now):
    app.store.tunings.put("pump", {"alert": {"ignore_below": {"gone": 1.0}}}, now, "user")
    with pytest.raises(ConfigError, match="no longer fit"):
        worker.score_next_batch(worker.Settings.read(app.path), "pump", "token", ())


def test_the_service_does_not_start_with_settings_that_no_longer_fit(app, now):
    app.store.tunings.put("pump", {"alert": {"ignore_below": {"gone": 1.0}}}, now, "user")
    with pytest.raises(ConfigError, match="no longer fit config.toml.*To remove them: plumbline tune clear pump"):
        Service(app)
    app.store.tunings.clear("pump", now, "user")
    Service(app)


def test_a_reload_that_stored_settings_do_not_fit_is_refused(app, now):
    service = Service(app)
    app.store.tunings.put("pump", {"alert": {"ignore_below": {"flow": 1.0}}}, now, "user")
    changed = app.path.read_text(encoding="utf-8").replace('["flow"]', '["pressure"]')
    app.path.write_text(changed, encoding="utf-8")
    service._reload()
    assert service._state.config.monitor("pump").numeric == ("flow",)
    (refusal,) = app.store.events.page(EventQuery(kind="config_refused"))
    assert "no longer fit" in refusal.message
