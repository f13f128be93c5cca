"""A small trained model."""

import pytest

from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from tests.samples import FEATURES, SMALL, make_records


@pytest.fixture(scope="session")
def normal_records():
    return make_records(1500)


@pytest.fixture(scope="session")
def artifact(normal_records):
    split = NormalRecords(normal_records.iloc[:1000], normal_records.iloc[1000:])
    return fit_artifact(split, FEATURES, SMALL, rule=DecisionRule(rate=0.01))


@pytest.fixture(scope="session")
def scorer(artifact):
    return RecordScorer(artifact)
