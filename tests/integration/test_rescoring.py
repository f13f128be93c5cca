"""Rescored history equals one undisturbed scoring of the final table, and labels survive."""

import numpy as np
import pytest

from jobs.incident_rule import incident_rule
from jobs.scoring.batch_results import merge_pages, score_page
from jobs.scoring.rescoring import Window, rescore_monitor
from schemas.errors import LostLease, NoChampion, UsageError
from schemas.tables import anomalies, incidents, scores
from tests.watched_table import HOSTILE, NAMES, START, MonitoredTable, at

C = anomalies.c
NO_SUPPRESSION = {"look_alike_radius": 0}  # the undisturbed scoring has no labels


@pytest.fixture
def pump(store):
    """Ten records in two batches, scored; two are flagged."""
    pump = MonitoredTable(store)
    pump.put(*range(10, 90, 10))
    pump.put(90, 100, value=9.0)
    pump.wait(hours=2)
    pump.score()
    return pump


def rescore(pump, since=0, until=100_000):
    """Rescore minutes of record time."""
    source = pump.source()
    try:
        return rescore_monitor(source, pump.store, pump.clock, Window(at(since), at(until)), load=pump.load)
    finally:
        source.close()


def test_rows_of_the_champion_stay_as_they_were(pump):
    before = pump.rows(C.id, C.flagged_at, C.model_id)
    pump.wait(minutes=1)
    assert rescore(pump).reopened == 2
    assert pump.rows(C.id, C.flagged_at, C.model_id) == before
    assert pump.ledger("rescorings", "late_records") == [(1, 0), (1, 0)]
    assert pump.hours() == [[at(0), 5, 0], [at(60), 5, 2]]


def test_rows_of_an_older_model_are_superseded_and_labels_go_over(pump):
    first, second = pump.rows(C.id)
    pump.store.anomalies.label(first, "confirmed", pump.now)
    model = pump.train("pump", threshold=0.5)
    pump.wait(minutes=1)
    rescore(pump)
    assert pump.rows(C.id, where=C.superseded_at == pump.now) == [first, second]
    assert pump.flagged("pump", C.label, C.model_id)[-1] == ("90", "confirmed", model)
    assert len(pump.flagged()) == 10


def test_a_label_on_a_superseded_row_counts_for_the_record(pump):
    old = dict(pump.flagged("pump", C.id))
    pump.train("pump")
    rescore(pump)
    pump.wait(minutes=1)
    pump.store.anomalies.label(old["90"], "confirmed", pump.now)
    assert pump.flagged("pump", C.label, C.labelled_at) == [("100", "open", None), ("90", "confirmed", pump.now)]


def test_after_a_roll_back_the_old_rows_are_current_with_their_last_labels(pump):
    ids = dict(pump.flagged("pump", C.id))
    pump.train("pump")
    rescore(pump)
    newer = dict(pump.flagged("pump", C.id))
    for row_id, label in ((newer["100"], "known"), (newer["90"], "known"), (ids["90"], "false_positive")):
        pump.wait(minutes=1)
        pump.store.anomalies.label(row_id, label, pump.now)
    pump.store.models.roll_back("pump", pump.now)
    rescore(pump)
    assert pump.flagged("pump", C.id, C.label) == [
        ("100", ids["100"], "known"),
        ("90", ids["90"], "false_positive"),
    ]


@pytest.mark.parametrize(
    ("since", "until", "reopened"), [(0, 59, 1), (61, 62, 1), (30, 70, 2), (120, 500, 0), (119, 120, 1)]
)
def test_whole_batches_that_hold_a_record_of_the_time_are_reopened(pump, since, until, reopened):
    assert rescore(pump, since, until).reopened == reopened


def test_without_a_time_column_the_time_of_planning_counts(store):
    pump = MonitoredTable(store, time=None)
    pump.put(10, value=9.0)
    pump.score()
    pump.wait(hours=5)
    assert rescore(pump, 60, 120).reopened == 0
    assert rescore(pump, 0, 60).reopened == 1
    assert pump.hours() == [[START, 1, 1]]


def test_nothing_is_reopened_without_a_champion_or_for_an_empty_window(store, pump):
    with pytest.raises(UsageError, match="Swap"):
        Window(at(1), at(1))
    source = pump.source("boiler")
    with pytest.raises(NoChampion):
        rescore_monitor(source, store, pump.clock, Window(START, at(1)))


def test_new_records_come_before_history(pump):
    pump.store.recounting.reopen_window("pump", START, at(1000))
    pump.put(*range(110, 160, 10))
    seen = []
    pump.score(progress=lambda _: seen.append(pump.ledger("id", "state")))
    assert [state == "done" for _, state in seen[0]] == [False, False, True]
    assert pump.ledger("state") == ["done"] * 3


class Chaos:
    """Does at random what happens to a live table and to the workers on it.

    Args:
        pump: to do it to.
        seed: of the generator.
    """

    def __init__(self, pump, seed):
        self.pump, self.rng = pump, np.random.default_rng(seed)
        self.held, self.labels = [], {}
        self.acts = [self.arrive, self.come_late, self.correct, self.remove, self.wait, self.score]
        self.acts += [self.rescore, self.hold, self.finish, self.label]

    def run(self, steps):
        for _ in range(steps):
            self.rng.choice(self.acts)()
            self.pump.wait(seconds=1)

    def record(self, key):
        value, entity = float(self.rng.choice([1.0, 2.0, 8.0, 9.0])), str(self.rng.choice(["a", "b"]))
        self.pump.put(int(key), value=value, entity=entity)

    def any_key(self):
        return int(self.rng.choice(self.pump.keys() or [0]))

    def arrive(self):
        top = max(self.pump.keys(), default=0)
        for key in range(top + 10, top + 10 * int(self.rng.integers(2, 8)), 10):
            self.record(key)

    def come_late(self):
        free = set(range(1, max(self.pump.keys(), default=1))) - set(self.pump.keys())
        for key in self.rng.permutation(sorted(free))[:2]:
            self.record(key)

    def correct(self):
        value, entity = float(self.rng.choice([1.0, 8.0])), str(self.rng.choice(["a", "b"]))
        key = self.any_key()
        stored = self.pump._stored(at(key + int(self.rng.integers(0, 90))))
        self.pump.correct(key, value=value, entity=entity, time=stored)

    def remove(self):
        self.pump.remove(self.any_key())

    def wait(self):
        self.pump.wait(minutes=int(self.rng.integers(1, 60)))

    def score(self):
        self.pump.score()

    def rescore(self):
        since = int(self.rng.integers(0, 300))
        self.pump.store.recounting.reopen_window("pump", at(since), at(since + 60))

    def hold(self):
        """Claim, read and compute a batch as another worker, without finishing it."""
        (champion,) = [model.id for model in self.pump.store.models.all("pump") if model.state == "champion"]
        source = self.pump.source()
        batch = self.pump.store.ledger.claim("pump", champion, self.pump.now, source.monitor.lease)
        if batch is not None:
            tally = source.fingerprint(batch.key_range)
            pages = source.pages(batch.key_range.after, batch.key_range.upto)
            scorer = self.pump.models[champion]
            results = [score_page(page, source.monitor, scorer, batch.planned_at) for page in pages]
            self.held.append((batch, merge_pages(results, tally)))
        source.close()

    def finish(self):
        """Finish the batches of the other worker; if its lease has expired, it may be too late."""
        source = self.pump.source()
        while self.held:
            batch, result = self.held.pop()
            try:
                self.pump.store.ledger.finish(batch, result, self.pump.now, incident_rule(source.monitor))
            except LostLease:
                continue

    def label(self):
        flagged = self.pump.flagged("pump", C.id)
        if flagged:
            key, row_id = flagged[int(self.rng.integers(len(flagged)))]
            self.labels[key] = str(self.rng.choice(["confirmed", "known", "false_positive"]))
            self.pump.store.anomalies.label(row_id, self.labels[key], self.pump.now)

    def settle(self):
        """Let time pass until every due recount has been made."""
        for _ in range(6):
            self.pump.wait(hours=8)
            self.pump.score()


def outcome(pump, monitor):
    """Return the results of scoring a table: flags, scores, counts of each hour, incidents."""
    what = (C.entity, C.record_time, C.anomaly_score, C.severity, C.p_value, C.elbo, C.top_feature)
    s, i = scores.c, incidents.c
    is_live = (i.monitor == monitor) & i.state.in_(["open", "ended"])
    return {
        "flagged": pump.flagged(monitor, *what),
        "scores": pump.rows(s.record_key, s.record_time, s.entity, s.elbo, where=s.monitor == monitor),
        "hours": pump.hours(monitor),
        "records": sum(pump.ledger("records", monitor=monitor)),
        "anomalies": sum(pump.ledger("anomalies", monitor=monitor)),
        "incidents": pump.rows(i.entity, i.start_time, i.end_time, i.records, i.peak_score, where=is_live),
    }


@pytest.mark.parametrize(("seed", "names"), [(0, NAMES), (1, HOSTILE), (2, NAMES)])
def test_any_interleaving_ends_as_one_undisturbed_scoring_of_the_final_table(store, seed, names):
    pump = MonitoredTable(store, names, alert=NO_SUPPRESSION)
    chaos = Chaos(pump, seed)
    chaos.run(steps=60)
    chaos.settle()
    pump.train("undisturbed")
    pump.score("undisturbed")
    result = outcome(pump, "pump")
    assert result == outcome(pump, "undisturbed")
    assert result["records"] == len(result["scores"]) == len(pump.keys()) > 0
    kept = dict(pump.flagged("pump", C.label))
    assert chaos.labels.items() & kept.items() == {item for item in chaos.labels.items() if item[0] in kept}


@pytest.mark.parametrize("seed", [3, 4])
def test_after_models_have_changed_rescoring_everything_leaves_the_champion_alone(store, seed):
    pump = MonitoredTable(store, alert=NO_SUPPRESSION)
    chaos = Chaos(pump, seed)
    for threshold in (5.0, 1.5, 8.5):
        chaos.run(steps=20)
        champion = pump.train("pump", threshold)
    chaos.settle()
    rescore(pump)
    assert set(pump.rows(C.model_id, where=C.superseded_at.is_(None))) <= {champion}
    assert set(pump.rows(scores.c.model_id)) == {champion}
    pump.train("undisturbed", threshold=8.5)
    pump.score("undisturbed")
    assert outcome(pump, "pump") == outcome(pump, "undisturbed")
