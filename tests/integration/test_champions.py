"""Champions are loaded once, shared by threads, and replaced when the model or its rates change."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from detector.core.blob import digest
from detector.records.artifact import dump_artifact
from detector.records.card import RecordCard
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from jobs import champions
from jobs.champions import Scorers, load_scorer
from jobs.scoring.learned_features import features_as_json
from jobs.shared_models import copy_model
from jobs.store import AuditQuery, NewModel
from schemas.config import MonitorConfig
from schemas.errors import UsageError
from tests.samples import FEATURES, SMALL, make_records

PUMP = MonitorConfig(table="t", key="id", numeric="load", false_positive_rate=0.02)


@pytest.fixture(scope="module")
def blob():
    records = make_records(400)
    return dump_artifact(
        fit_artifact(NormalRecords(records[:200], records[200:]), FEATURES, SMALL, rule=DecisionRule(rate=0.02))
    )


@pytest.fixture
def champion(store, blob, now):
    for monitor in ("pump", "fan"):
        store.models.add(monitor, NewModel(blob, digest(blob), {}, RecordCard()), now, promote=True)
    return store.models.champion("pump")


@pytest.fixture
def loads(monkeypatch):
    """The models that were loaded, in order."""
    ids = []

    def load(store, champion, monitor):
        ids.append(champion.model_id)
        return load_scorer(store, champion, monitor)

    monkeypatch.setattr(champions, "load_scorer", load)
    return ids


@pytest.fixture
def scorers(loads):
    return Scorers()


def test_a_champion_is_loaded_once_by_however_many_threads(store, champion, scorers, loads):
    records = make_records(300, seed=1)
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda _: scorers.load(store, champion, PUMP).score(records), range(8)))
    assert len(loads) == 1
    assert all(frame.equals(scores[0]) for frame in scores)


def test_another_model_or_another_rate_is_loaded_again(store, champion, scorers, loads):
    first = scorers.load(store, champion, PUMP)
    assert scorers.load(store, champion, PUMP.model_copy(update={"batch_size": 7})) is first
    stricter = scorers.load(store, champion, PUMP.model_copy(update={"false_positive_rate": 0.01}))
    assert stricter.threshold > first.threshold
    assert scorers.load(store, replace(champion, model_id=champion.model_id + 1), PUMP) is not first
    assert len(loads) == 3


def test_only_the_last_champion_of_each_monitor_that_is_left_is_kept(store, champion, scorers):
    for rate in (0.02, 0.03, 0.04):
        scorers.load(store, champion, PUMP.model_copy(update={"false_positive_rate": rate}))
    scorers.load(store, store.models.champion("fan"), PUMP)
    assert scorers._kept.keys() == {"pump", "fan"}
    scorers.keep({"fan"})
    assert scorers._kept.keys() == {"fan"}


def test_a_copy_of_a_champion_scores_for_another_monitor_with_the_same_features(store, blob, now):
    new = NewModel(blob, digest(blob), {"features": features_as_json(FEATURES)}, RecordCard())
    model_id = store.models.add("pump", new, now, promote=True)
    fan = MonitorConfig(table="t", key="id", time="read_at", false_positive_rate=0.02, **FEATURES.by_type())
    store.models.promote(copy_model(store, model_id, "fan", fan, now), now, actor="user ada", copy_of=model_id)
    (act,) = store.audit.page(AuditQuery("fan"))
    assert act.detail == {"force": False, "copy_of": model_id}
    records = make_records(50, seed=1)
    scores = [load_scorer(store, store.models.champion(name), fan).score(records) for name in ("pump", "fan")]
    assert scores[0].equals(scores[1])
    with pytest.raises(UsageError, match=f"Model {model_id} learned .*, and monitor 'fan' watches numeric .'load'.*"):
        copy_model(store, model_id, "fan", PUMP, now)
    challenger = store.models.add("pump", new, now, promote=False)
    with pytest.raises(UsageError, match="was never a champion. Name one that monitor 'pump' was scored with"):
        copy_model(store, challenger, "fan", fan, now)
