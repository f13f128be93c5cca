"""A round: processes are disturbed while they score a changing table; then the results are compared."""

import random
import tempfile
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import and_, func, select

from schemas.tables import alerts, batches
from tests.alert_receiver import receiving
from tests.chaos.databases import new_database, small_disk
from tests.chaos.feeder import Feeder
from tests.chaos.outcome import broken_rules, compare, messages_by_alert, read_outcome
from tests.chaos.processes import Pool, Role
from tests.chaos.site import Site, let_leases_run_out
from tests.chaos.waiting import at_once, pass_seconds

_SKEW_SECONDS = 120
_KILL_POINTS = ("anywhere", "inside", "inside", "after")
_IS_SENT = and_(alerts.c.incident_id.is_not(None), alerts.c.state == "sent")
_FAILED = ("a run failed", "failed:", "Error:")


@dataclass(frozen=True)
class Plan:
    """The plan of one round."""

    database: str
    kills: int
    seed: int
    faults: int = 1


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
        self._engine = None

    def run(self):
        """Disturb the processes, let them finish, and compare."""
        engine = self._engine = self._site.prepare()
        roles = _roles(self._rng)
        with Feeder(engine, self._plan.seed) as feeder, Pool(roles, self._site.configure) as pool:
            self._disturb(pool)
            feeder.finish()
            expected = self._site.undisturbed()
            problems = self._rest(pool, expected)
            self._count(pool, expected)
            self._counts.update(feeder.counts)
        engine.dispose()
        return Report(self._plan, self._counts, problems)

    def _disturb(self, pool):
        faults = sorted(self._rng.sample(range(self._plan.kills), self._plan.faults))
        for number in range(self._plan.kills):
            if number in faults:
                self._cause_fault(pool)
            self._kill_one(pool)

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
        """Let the database fail until a process has noticed, then recover."""
        victim = self._some_at_work(pool)
        at_once(lambda: self._site.database.is_writing(victim) or victim.code is not None)
        with pool.excused():
            with self._site.database.faulty(pool.processes, self._rng):
                self._until_noticed(pool)
            done = self._done_batches()
            pool.until(lambda: self._done_batches() > done, "the processes go on")
        self._counts[self._site.database.fault] += 1

    def _until_noticed(self, pool):
        before = self._failures(pool)
        noticed = "a process notices that its database fails"
        pool.until(lambda: self._failures(pool) > before, noticed, with_commands=False)

    def _failures(self, pool):
        return sum(process.count_logged(*_FAILED) for process in pool.processes)

    def _done_batches(self):
        with self._engine.connect() as connection:
            finished = select(func.sum(batches.c.attempts)).where(batches.c.state == "done")
            return connection.scalar(finished) or 0

    def _rest(self, pool, expected):
        """Wait until the results are right, stop all processes, and return the remaining problems."""
        with self._engine.begin() as connection:
            let_leases_run_out(connection)
        with suppress(TimeoutError):
            pool.until(lambda: not self._problems(expected), "nothing differs", pause=0.5, with_commands=False)
        pool.stop()
        return self._problems(expected)

    def _problems(self, expected):
        with self._engine.connect() as connection:
            difference = compare(read_outcome(connection), expected)
            for name in ("lost", "doubled", "different"):
                self._counts[name] = getattr(difference, name)
            return [*difference.sentences, *broken_rules(connection, self._received)]

    def _count(self, pool, expected):
        with self._engine.connect() as connection:
            of_batches = select(func.count(), func.sum(batches.c.attempts), func.sum(batches.c.rescorings))
            planned, claims, rescorings = connection.execute(of_batches).one()
            alerts_sent = connection.scalar(select(func.count()).select_from(alerts).where(_IS_SENT))
        self._counts.update(
            {
                "records": len(expected.scores),
                "anomalies": len(expected.anomalies),
                "incidents": len(expected.incidents),
                "batches": planned,
                "scorings begun in vain": claims - planned - rescorings,
                "batches scored again": rescorings,
                "alerts": alerts_sent,
                "messages sent twice": sum(messages_by_alert(self._received).values()) - alerts_sent,
                "failures noticed": sum(line["message"].startswith(_FAILED) for line in pool.logs),
            }
        )


def play(plan, model, server):
    """Run a plan in a separate folder and database."""
    with tempfile.TemporaryDirectory(prefix="plumbline-chaos-") as name, receiving() as channel:
        folder = Path(name)
        with small_disk(folder) if plan.database == "sqlite" else nullcontext():
            database = new_database(plan.database, folder, server, f"chaos_{plan.seed}")
            report = Round(plan, Site(folder, database, model, channel.address), channel.received).run()
            database.drop()
    return report


def plans(database, kills, seed, kills_in_a_round=20):
    """Return plans of rounds with a total number of kills."""
    sizes = [kills_in_a_round] * (kills // kills_in_a_round) + [kills % kills_in_a_round]
    return [Plan(database, size, seed * 1000 + number) for number, size in enumerate(sizes) if size]


def _roles(rng):
    """Return two services, a third one with a wrong clock, and commands."""
    skew = rng.choice([-_SKEW_SECONDS, _SKEW_SECONDS])
    return [
        Role("one", ("jobs.cli", "serve")),
        Role("two", ("jobs.cli", "serve")),
        Role("skewed", ("tests.chaos.skewed", str(skew), "serve")),
        Role("command", ("jobs.cli", "score", "pump"), is_serving=False),
    ]
