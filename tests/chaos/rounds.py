"""A round: processes are disturbed while they score changing tables; then the results are compared."""

import random
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import and_, func, select

from jobs.databases import reading
from jobs.store import NewModel
from schemas.tables import alerts, batches
from tests.alert_receiver import receiving
from tests.chaos.databases import new_database, server_of, small_disk
from tests.chaos.feeder import Feeder
from tests.chaos.operations import Operations
from tests.chaos.outcome import (
    Outcome,
    broken_rules,
    compare,
    messages_by_alert,
    read_models,
    read_outcome,
    scores_by_model,
    wrong_alerts,
)
from tests.chaos.processes import Pool, Role
from tests.chaos.site import Site, let_leases_run_out
from tests.chaos.waiting import at_once, pass_seconds
from tests.chaos.watched import NARROW, TRAINED, WIDE, fed

_SKEW_SECONDS = 120
_HANG_SECONDS = 4.5  # longer than the lease
_KILL_POINTS = ("anywhere", "inside", "inside", "after")
_IS_SENT = and_(alerts.c.incident_id.is_not(None), alerts.c.state == "sent")
_FAILED = ("a run failed", "failed:", "Error:")


@dataclass(frozen=True)
class Plan:
    """The plan of one round.

    Attributes:
        database: of the store.
        kills: number of processes to kill.
        seed: of all randomness.
        source: database of the watched tables, on a server of its own; that of the store by default.
        is_wide: whether monitors of every kind are watched, processes hang, and people label, reload, train, promote
            and migrate meanwhile; otherwise one monitor of records is.
        faults: number of times that a database fails.
    """

    database: str
    kills: int
    seed: int
    source: str | None = None
    is_wide: bool = False
    faults: int = 1

    @property
    def monitors(self):
        """The monitors."""
        return WIDE if self.is_wide else NARROW


@dataclass
class Report:
    """The counts and problems of one round."""

    plan: Plan
    counts: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Round:
    """A round in a separate folder.

    Args:
        plan: kills and faults.
        site: databases and configurations.
        received: messages that the alert channel receives.
    """

    def __init__(self, plan, site, received):
        self._plan, self._site, self._received = plan, site, received
        self._rng = random.Random(plan.seed)
        self._counts = Counter()
        self._store = self._source = self._operations = None

    def run(self):
        """Disturb the processes, let them finish, and compare."""
        with ExitStack() as opened:
            self._store, self._source = self._site.prepare(), self._site.source_engine()
            for engine in (self._store.engine, self._source):
                opened.callback(engine.dispose)
            feeders = [opened.enter_context(feeder) for feeder in self._feeders()]
            pool = opened.enter_context(Pool(_roles(self._plan, self._rng), self._site.configure))
            self._operations = Operations(self._store, self._site, pool, self._rng)
            self._disturb(pool)
            for feeder in feeders:
                feeder.finish()
            problems = self._rest(pool)
            for feeder in feeders:
                self._counts.update(feeder.counts)
        return Report(self._plan, self._counts, problems)

    def _feeders(self):
        tables = enumerate(fed(self._site.monitors))
        return [Feeder(self._store.engine, self._source, item, self._plan.seed + number) for number, item in tables]

    def _disturb(self, pool):
        faults = sorted(self._rng.sample(range(self._plan.kills), self._plan.faults))
        for number in range(self._plan.kills):
            if number in faults:
                self._cause_fault(pool)
            if self._plan.is_wide:
                self._operate(pool, number)
            self._kill_one(pool)

    def _operate(self, pool, number):
        """Do what people do, in turn."""
        operations = self._operations
        hang = lambda: self._hang_one(pool)  # noqa: E731 - one of several actions
        actions = (operations.label, operations.train, hang, operations.reload, operations.promote)
        actions[number % len(actions)]()

    def _hang_one(self, pool):
        """Let a working process hang for longer than its lease, in a transaction if it gets into one."""
        victim = self._some_at_work(pool)
        at_once(lambda: self._site.database.is_writing(victim) or victim.code is not None)
        with pool.excused(), victim.hung():  # others may wait for its locks in vain
            pass_seconds(_HANG_SECONDS)
        self._counts["hung"] += 1

    def _kill_one(self, pool):
        """Kill a working process: anywhere, inside a writing transaction, or after one."""
        kind = self._rng.choice(_KILL_POINTS)
        victim = pool.until(lambda: self._aimed(pool, kind), "a process can be hit")
        pool.kill(victim)
        self._counts.update({"kills": 1, f"kills {kind}": 1})

    def _aimed(self, pool, kind):
        """Return a process at the chosen point, or None if it did not get there."""
        victim, database = self._some_at_work(pool), self._site.database
        if kind == "anywhere":
            pass_seconds(self._rng.uniform(0, 0.5))
        elif not at_once(lambda: database.is_writing(victim)):
            return None
        if kind == "after" and not at_once(lambda: not database.is_writing(victim)):
            return None
        return victim if victim.code is None else None  # a command may have finished

    def _some_at_work(self, pool):
        working = pool.until(lambda: [process for process in pool.processes if process.is_at_work], "a process scores")
        return self._rng.choice(working)

    def _cause_fault(self, pool):
        """Let a database fail until a process has noticed, then recover."""
        victim, database = self._some_at_work(pool), self._rng.choice(self._site.databases_with_faults)
        at_once(lambda: self._site.database.is_writing(victim) or victim.code is not None)
        with pool.excused():
            with database.faulty(pool.processes, self._rng):
                self._until_noticed(pool)
            done = self._done_batches()
            pool.until(lambda: self._done_batches() > done, "the processes go on")
        self._counts[database.fault] += 1

    def _until_noticed(self, pool):
        before = self._failures(pool)
        noticed = "a process notices that its database fails"
        pool.until(lambda: self._failures(pool) > before, noticed, with_commands=False)

    def _failures(self, pool):
        return sum(process.count_logged(*_FAILED) for process in pool.processes)

    def _done_batches(self):
        with reading(self._store.engine) as connection:
            finished = select(func.sum(batches.c.attempts)).where(batches.c.state == "done")
            return connection.scalar(finished) or 0

    def _rest(self, pool):
        """Wait until the results are right, stop all processes, and return the remaining problems."""
        pool.until(self._is_trained, "every training has ended", pause=0.5)
        expected = {item.name: self._site.undisturbed(item.name) for item in self._site.monitors}
        by_model = {model: self._site.undisturbed(TRAINED.name, new) for model, new in self._trained().items()}
        with self._store.engine.begin() as connection:
            let_leases_run_out(connection)
        with suppress(TimeoutError):
            pool.until(
                lambda: not self._problems(expected, by_model), "nothing differs", pause=0.5, with_commands=False
            )
        pool.stop()
        self._count(pool, expected)
        return self._problems(expected, by_model)

    def _is_trained(self):
        with reading(self._store.engine) as connection:
            return not self._operations.is_training(connection)

    def _trained(self):
        """Return every model of the monitor that is trained, by its number."""
        models = self._store.models
        stored = models.all(TRAINED.name)
        return {item.id: NewModel(models.blob(item.id), item.sha256, {"format": 1}, item.card) for item in stored}

    def _problems(self, expected, by_model):
        problems, differences = [], Counter(lost=0, doubled=0, different=0)
        with reading(self._store.engine) as connection, reading(self._source) as source:
            for item in self._site.monitors:
                outcome, due = read_outcome(connection, item.name), expected[item.name]
                if item is TRAINED:
                    outcome = Outcome(outcome.scores, [], [], [])
                    due = scores_by_model(by_model, read_models(connection, item.name))
                difference = compare(outcome, due)
                problems += [f"{item.name}: {sentence}" for sentence in difference.sentences]
                problems += broken_rules(connection, source, item)
                differences.update({name: getattr(difference, name) for name in differences})
            problems += [*wrong_alerts(connection, self._received), *self._operations.problems(connection)]
        for name, count in differences.items():
            self._counts[name] = count
        return problems

    def _count(self, pool, expected):
        with reading(self._store.engine) as connection:
            of_batches = select(func.count(), func.sum(batches.c.attempts), func.sum(batches.c.rescorings))
            planned, claims, rescorings = connection.execute(of_batches).one()
            alerts_sent = connection.scalar(select(func.count()).select_from(alerts).where(_IS_SENT))
        self._counts.update(
            {
                "records": sum(len(outcome.scores) for outcome in expected.values()),
                "anomalies": sum(len(outcome.anomalies) for outcome in expected.values()),
                "incidents": sum(len(outcome.incidents) for outcome in expected.values()),
                "batches": planned,
                "scorings begun in vain": int(claims - planned - rescorings),
                "batches scored again": int(rescorings),
                "alerts": alerts_sent,
                "messages sent twice": sum(messages_by_alert(self._received).values()) - alerts_sent,
                "failures noticed": sum(line["message"].startswith(_FAILED) for line in pool.logs),
            }
        )
        self._counts.update(self._operations.counts)


def play(plan, models, servers):
    """Run a plan in a separate folder and databases.

    Args:
        plan: the plan.
        models: the first champion of each monitor.
        servers: of the store and of the watched tables.
    """
    with tempfile.TemporaryDirectory(prefix="plumbline-chaos-") as name, receiving() as channel:
        folder = Path(name)
        with small_disk(folder) if plan.database == "sqlite" else nullcontext():
            store = source = new_database(plan.database, folder, servers[0], f"chaos_{plan.seed}")
            if plan.source is not None:
                source = new_database(plan.source, folder, servers[1], f"plant_{plan.seed}")
            site = Site(folder, store, source, models, channel.address, plan.monitors)
            report = Round(plan, site, channel.received).run()
            for database in {store, source}:
                database.drop()
    return report


@contextmanager
def servers_for(plan):
    """Run the servers of a plan for the time of a block: of the store, and of the watched tables."""
    with server_of(plan.database) as store:
        if plan.source is None:
            yield store, store
            return
        with server_of(plan.source) as source:
            yield store, source


def plans(first, kills, kills_in_a_round=20):
    """Return plans of rounds like the first one, with a total number of kills."""
    sizes = [kills_in_a_round] * (kills // kills_in_a_round) + [kills % kills_in_a_round]
    rounds = enumerate(sizes)
    return [replace(first, kills=size, seed=first.seed * 1000 + number) for number, size in rounds if size]


def _roles(plan, rng):
    """Return two services, a third one with a wrong clock, and commands."""
    skew = rng.choice([-_SKEW_SECONDS, _SKEW_SECONDS])
    commands = [("jobs.cli", "score", item.name) for item in plan.monitors]
    if plan.is_wide:
        commands.insert(1, ("jobs.cli", "migrate"))
    return [
        Role("one", (("jobs.cli", "serve"),)),
        Role("two", (("jobs.cli", "serve"),)),
        Role("skewed", (("tests.chaos.skewed", str(skew), "serve"),)),
        Role("command", tuple(commands), is_serving=False),
    ]
