"""A training estimates how many of its records look unlike the others, and names the first of them."""

import numpy as np
import pandas as pd
import pytest

from detector.core.about import About, UnusualRecords
from detector.records.card import RecordCard
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.unusual import excess_share
from jobs.kinds.record_card import unusual_advice, unusual_share
from schemas.frames import Features
from tests.samples import SMALL


@pytest.mark.parametrize("law", ["normal", "gamma", "lognormal", "uniform"])
def test_scores_of_common_laws_have_hardly_any_excess(law):
    rng = np.random.default_rng(0)
    draws = {
        "normal": lambda: np.exp(rng.normal(size=1000)),
        "gamma": lambda: rng.gamma(5, size=1000),
        "lognormal": lambda: rng.lognormal(0, 0.5, 1000),
        "uniform": lambda: 1 + rng.random(1000),
    }
    assert np.mean([excess_share(draws[law]()) for _ in range(50)]) < 0.005


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_scattered_faults_are_counted(share):
    scores = np.random.default_rng(0).lognormal(0, 0.5, 1000)
    faults = round(share * 1000)
    scores[:faults] = scores.max() * np.linspace(20, 90, faults)
    assert excess_share(scores) == pytest.approx(share, abs=0.015)


def test_few_or_equal_scores_have_none():
    assert [excess_share(scores) for scores in (np.zeros(0), np.arange(1.0, 20), np.ones(300))] == [0, 0, 0]


@pytest.mark.parametrize("trim", [0.0, 0.05])
def test_a_model_names_its_unusual_training_records(trim):
    rng = np.random.default_rng(0)
    level = rng.normal(size=800)
    records = pd.DataFrame({"flow": level, "pressure": 2 * level + 0.1 * rng.normal(size=800)})
    places = np.arange(0, 600, 30)
    records.loc[places, "flow"] = rng.uniform(20, 200, 20) * rng.choice([-1, 1], 20)
    normal = NormalRecords(records[:600], records[600:])
    config = SMALL.model_copy(update={"trim": trim, "steps": 50})
    artifact = fit_artifact(normal, Features(numeric=("flow", "pressure")), config, rule=DecisionRule(rate=0.05))
    unusual = About.from_json(artifact.about).unusual
    assert unusual is not None
    assert (len(set(unusual.positions) & set(places.tolist())) >= 4) == (trim == 0)
    assert unusual.share == pytest.approx(20 / 600 if trim == 0 else 0, abs=0.01)


def test_an_estimate_survives_storage_and_an_older_model_has_none():
    about = About(unusual=UnusualRecords(0.04, (3, 1)))
    assert About.from_json(about.to_json()) == about
    assert About.from_json({}).unusual is None


def test_advice_names_the_share_the_records_and_the_remedies():
    card = RecordCard(unusual_share=0.042, unusual_records={"17": "flow = 3"})
    advice = unusual_advice(card, "pump")
    assert advice is not None
    assert all(
        part in advice for part in ("About 4.20%", "17: flow = 3", "normal", "trim = 0.04", "[monitors.pump.model]")
    )
    assert unusual_advice(RecordCard(unusual_share=0.009), "pump") is None
    assert [unusual_share(RecordCard(unusual_share=share)) for share in (None, 0.0, 0.012)] == [
        None,
        "none",
        "about 1.20%",
    ]
