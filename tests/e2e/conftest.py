"""A workspace for commands, and one with a trained and scored monitor."""

from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from tests.workspace import PUMP, Result, Workspace, readings


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@dataclass(frozen=True)
class Plant(Workspace):
    """A workspace whose pump was imported, trained and scored, with the output of each command."""

    url: str = ""
    results: dict[str, Result] = field(default_factory=dict)


def fill(folder, url):
    """Run the main path up to the first scoring."""
    plant = Plant(folder, url)
    readings().to_csv(folder / "readings.csv", index=False)
    plant.configure(url, PUMP)
    for command in ("migrate", "import readings.csv --table pump_readings", "check", "train pump", "score pump"):
        plant.results[command.split()[0]] = plant.must(*command.split(), "--json")
    return plant


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plant(request, tmp_path_factory):
    """The main path on each database, run once for the tests of a module, which do not change it."""
    folder = tmp_path_factory.mktemp("plant")
    servers = {"postgresql": "empty_database", "mariadb": "empty_mariadb"}
    is_sqlite = request.param == "sqlite"
    here = nullcontext(SecretStr("sqlite:///plumbline.db"))
    with here if is_sqlite else request.getfixturevalue(servers[request.param])() as url:
        yield fill(folder, url.get_secret_value())
