"""After kills, crashes and full disks at any moment, the results equal an undisturbed run."""

import pytest

from tests.chaos.databases import postgres_server
from tests.chaos.rounds import Plan, play
from tests.chaos.site import train

PLANS = [
    *(Plan(database, kills=10, seed=1) for database in ("sqlite", "postgresql")),
    # Further rounds take minutes each; `make chaos` runs many.
    *(pytest.param(Plan(database, kills=10, seed=2), marks=pytest.mark.slow) for database in ("sqlite", "postgresql")),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train(tmp_path_factory.mktemp("model"))


@pytest.fixture
def server(plan):
    if plan.database == "sqlite":
        yield None
        return
    with postgres_server() as server:
        yield server


# A server that dies while a client connects leaves a connection that no code owns and closes.
@pytest.mark.filterwarnings("ignore:.*deleted while still open:ResourceWarning")
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.database}-{plan.seed}")
def test_kills_crashes_full_disks_and_wrong_clocks_leave_no_trace(plan, model, server):
    report = play(plan, model, server)
    assert not report.problems, report
    assert report.counts["kills"] == plan.kills
    assert min(report.counts[name] for name in ("records", "anomalies", "incidents", "scorings begun in vain")) > 0
