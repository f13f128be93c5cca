"""After kills, crashes, full disks and hung processes at any moment, the results equal an undisturbed run."""

import pytest

from tests.chaos.rounds import Plan, play, servers_for
from tests.chaos.site import train
from tests.chaos.watched import WIDE
from tests.mariadb_server import HOW_TO_INSTALL, missing_programs

PLANS = [
    *(Plan(database, kills=10, seed=1, is_wide=True) for database in ("sqlite", "postgresql")),
    # Further rounds take minutes each; `make chaos` runs many.
    *(
        pytest.param(plan, marks=pytest.mark.slow)
        for plan in (
            Plan("sqlite", kills=10, seed=2),
            Plan("postgresql", kills=10, seed=2),
            Plan("mariadb", kills=10, seed=2, is_wide=True),
            Plan("sqlite", kills=10, seed=2, source="postgresql", is_wide=True),
            Plan("postgresql", kills=10, seed=2, source="mariadb", is_wide=True),
        )
    ),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return train(tmp_path_factory.mktemp("models"), WIDE)


@pytest.fixture
def servers(plan):
    if "mariadb" in {plan.database, plan.source} and missing_programs():
        pytest.skip(f"MariaDB is not installed: {HOW_TO_INSTALL}")
    with servers_for(plan) as servers:
        yield servers


# A server that dies while a client connects leaves a connection that no code owns and closes.
@pytest.mark.filterwarnings("ignore:.*deleted while still open:ResourceWarning")
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_kills_crashes_full_disks_hung_processes_and_wrong_clocks_leave_no_trace(plan, models, servers):
    report = play(plan, models, servers)
    assert not report.problems, report
    assert report.counts["kills"] == plan.kills
    assert min(report.counts[name] for name in ("records", "anomalies", "incidents", "scorings begun in vain")) > 0
    if plan.is_wide:
        assert min(report.counts[name] for name in ("hung", "labels", "reloads", "requested trainings")) > 0
