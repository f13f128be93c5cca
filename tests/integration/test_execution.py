"""Commands on a cluster give what they give in one process, whichever of its processes die."""

import json
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from jobs.databases import open_engine
from jobs.execution.worker import Settings, train_on_request
from jobs.importing.importing import import_file
from schemas.config import load_config
from tests.chaos.waiting import until
from tests.dask_cluster import Cluster
from tests.series_monitor import readings
from tests.workspace import Workspace

pytestmark = pytest.mark.xdist_group("cluster")  # one worker, since the cluster and the training are shared

MIXER = """\
table = "mixer"
key = "id"
time = "read_at"
entity = "machine"
numeric = ["torque", "speed", "load"]
boolean = ["is_open"]
label = "is_fault"
normal = "id <= 1200"
store_scores = "all"
false_positive_rate = 0.02
batch_size = 130
series = { network = false }
"""
ONLINE = MIXER + 'threshold = "online"\n'
RESULTS = {
    "scores": "record_key, batch_id, anomaly_score, p_value, is_anomaly",
    "anomalies": "record_key, batch_id, anomaly_score, p_value, severity, threshold, top_feature, attribution",
    "incidents WHERE merged_into IS NULL": "entity, start_time, end_time, peak_score, records, causes",
    "trackers": "entity, batch_id, state_before, state_after",
    "batches": "id, after_key, upto_key, state, records, anomalies",
}


RUNNING = "SELECT count(*) FROM batches WHERE state = 'running'"
REPORTED = ("batches", "records", "anomalies", "causes")


class Site(Workspace):
    """A folder with a trained monitor."""

    def use(self, monitor, **runtime):
        """Configure the monitor and where its commands compute."""
        lines = "\n".join(f"{name} = {value!r}" for name, value in runtime.items())
        url = (self.folder / "url").read_text(encoding="utf-8")
        document = f'[runtime]\n{lines}\n[store]\nurl = "{url}"\n[monitors.mixer]\n{monitor}'
        (self.folder / "config.toml").write_text(document, encoding="utf-8")

    def scored(self):
        """Score the table from its start, and return everything that was written."""
        self.forget()
        report = self.must("score", "--json").json
        return self.written() | {"report": {name: report[name] for name in REPORTED}}

    def forget(self):
        """Delete everything that scoring wrote."""
        for table in ("anomalies", "scores", "incidents", "batches", "trackers", "alerts", "events"):
            self.query(f"DELETE FROM {table}")
        if (self.folder / "url").read_text(encoding="utf-8").startswith("postgresql"):
            self.query("ALTER SEQUENCE batches_id_seq RESTART")

    @contextmanager
    def held_up(self):
        """Keep workers from finishing a batch."""
        engine = open_engine(load_config(self.folder / "config.toml", {}).store.url)
        with engine.begin() as connection:
            connection.execute(text("SELECT 1 FROM monitors WHERE monitor = 'mixer' FOR UPDATE"))
            yield
        engine.dispose()

    def written(self):
        return {
            table: sorted(map(str, self.query(f"SELECT {columns} FROM {table}"))) for table, columns in RESULTS.items()
        }


def site_in(folder, url):
    site = Site(folder)
    (folder / "url").write_text(url, encoding="utf-8")
    site.use(MIXER)
    site.must("migrate")
    readings().to_parquet(folder / "mixer.parquet")
    engine = open_engine(load_config(folder / "config.toml", {}).store.url)
    import_file(folder / "mixer.parquet", engine, "mixer")
    engine.dispose()
    site.must("train")
    return site


@pytest.fixture(scope="module")
def postgres_site(empty_database, tmp_path_factory):
    with empty_database() as url:
        yield site_in(tmp_path_factory.mktemp("postgres"), url.get_secret_value())


@pytest.fixture(scope="module")
def sqlite_site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sqlite")
    return site_in(folder, f"sqlite:///{folder}/plumbline.db")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.start(2)
    yield cluster
    cluster.kill()


@pytest.fixture
def dask(cluster):
    return {"executor": "dask", "scheduler": cluster.address}


@pytest.mark.parametrize(("site", "monitor"), [("sqlite_site", MIXER), ("postgres_site", ONLINE)])
def test_a_cluster_scores_to_the_bit_what_one_process_scores(request, dask, site, monitor):
    site = request.getfixturevalue(site)
    site.use(monitor)
    alone = site.scored()
    assert alone["anomalies"]
    site.use(monitor, **dask)
    assert site.scored() == alone


def test_workers_score_without_keras(sqlite_site, cluster, dask):
    sqlite_site.use(MIXER, **dask)
    sqlite_site.scored()
    of_workers = cluster.modules()
    assert any("jobs.scoring.run" in modules for modules in of_workers)  # one may have scored everything
    assert not any(modules & {"keras", "tensorflow", "sklearn"} for modules in of_workers)


def test_history_is_rescored_evaluated_and_forecast_on_a_cluster_as_in_one_process(postgres_site, dask):
    history = [("evaluate", "--all"), ("evaluate",), ("forecast",)]
    postgres_site.use(MIXER)
    scored = postgres_site.scored()
    alone = [postgres_site.must(*command, "--json").json for command in history]
    postgres_site.use(MIXER, **dask)
    assert [postgres_site.must(*command, "--json").json for command in history] == alone
    rescored = postgres_site.must("rescore", "--from", "2026-01-01", "--to", "2027-01-01", "--json").json
    assert rescored["reopened"] == rescored["scoring"]["rescored"] == scored["report"]["batches"]
    assert postgres_site.written() == {name: scored[name] for name in RESULTS}


@pytest.mark.parametrize(("monitor", "is_scheduler_killed"), [(ONLINE, False), (MIXER, True)])
def test_killed_processes_lose_and_double_nothing(postgres_site, cluster, dask, monitor, is_scheduler_killed):
    postgres_site.use(monitor)
    alone = postgres_site.scored()
    postgres_site.use(monitor, **dask)
    postgres_site.forget()
    with postgres_site.held_up():
        run = postgres_site.start("score", "--json")
        until(lambda: postgres_site.query(RUNNING) == [(2,)], "two batches run")
        cluster.kill() if is_scheduler_killed else cluster.kill_workers()
        cluster.start(2) if is_scheduler_killed else cluster.add_workers(2)
    out, err = run.communicate()
    assert run.returncode == 0, err
    assert json.loads(out)["batches"] == alone["report"]["batches"]
    assert postgres_site.written() == {name: alone[name] for name in RESULTS}
    assert postgres_site.query("SELECT max(attempts) > 1 FROM batches") == [(True,)]


def test_an_executor_of_the_user_scores_the_same(sqlite_site):
    sqlite_site.use(ONLINE)
    alone = sqlite_site.scored()
    sqlite_site.use(ONLINE, executor="tests.process_pool:two_processes", tasks=4)
    assert sqlite_site.scored() == alone


def test_workers_use_the_settings_that_are_stored_in_place_of_configured_ones(sqlite_site):
    sqlite_site.use(MIXER, executor="tests.process_pool:two_processes", tasks=4)
    configured = sqlite_site.scored()["report"]["anomalies"]
    sqlite_site.must("tune", "set", "mixer", "--rate", "0.2")
    tuned = sqlite_site.scored()["report"]["anomalies"]
    sqlite_site.must("tune", "clear", "mixer")
    assert tuned > configured > 0


def test_retrain_requests_are_worked_on_a_cluster(sqlite_site, dask):
    sqlite_site.use(MIXER, **dask)
    sqlite_site.must("retrain")
    (outcome,) = sqlite_site.must("retrain", "--work", "--json").json
    assert (outcome["state"], outcome["training"]["model_id"]) == ("done", 2)
    assert sqlite_site.must("retrain", "--work", "--json").json == []


def test_a_worker_leaves_the_requests_of_other_monitors_alone(sqlite_site):
    sqlite_site.use(MIXER + f"[monitors.untrained]\n{MIXER}")
    sqlite_site.query("INSERT INTO monitors (monitor) VALUES ('untrained')")
    sqlite_site.query("INSERT INTO retrain_requests (monitor, state) VALUES ('untrained', 'pending')")
    settings = Settings.read(sqlite_site.folder / "config.toml")
    assert train_on_request(settings, "mixer", "worker") == []
    states = sqlite_site.query("SELECT state, message FROM retrain_requests WHERE monitor = 'untrained'")
    sqlite_site.query("DELETE FROM retrain_requests WHERE monitor = 'untrained'")
    assert states == [("pending", None)]
