"""The scikit-learn interface keeps the promises of scikit-learn and of the artifact."""

import copy
import os
import pickle
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from detector import VAEDetector
from detector.core.blob import digest
from schemas.errors import ArtifactError, MissingColumns, NotEnoughRecords, RateTooSmall, RecordsError
from tests.samples import make_records

ROOT = Path(__file__).parents[2]
TINY = {"members": 1, "hidden": 4, "steps": 3, "batch_size": 8, "neighbours": 3}
QUICK = {"members": 2, "hidden": 8, "steps": 50}
ALWAYS_CHECKED = {
    "check_estimators_pickle",
    "check_fit_idempotent",
    "check_n_features_in",
    "check_no_attributes_set_in_init",
    "check_outliers_fit_predict",
    "check_parameters_default_constructible",
}

SCORE_IN_ANOTHER_PROCESS = """
import sys
import numpy as np
from detector import VAEDetector
from detector.core.blob import digest
with open(sys.argv[1], "rb") as file:
    detector = VAEDetector.from_bytes(file.read())
print(digest(detector.anomaly_score(np.load(sys.argv[2])).tobytes()))
"""


def numbers(n, seed):
    """Return three correlated numbers, a tenth of the last missing."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n, 1))
    records = np.hstack([first, first + 0.3 * rng.normal(size=(n, 1)), rng.normal(size=(n, 1))])
    records[rng.random(n) < 0.1, 2] = np.nan
    return records


@pytest.fixture(scope="module")
def fitted():
    return VAEDetector(**QUICK).fit(numbers(500, seed=0))


@pytest.fixture(scope="module")
def mixed():
    return VAEDetector(**QUICK).fit(make_records(500))


def scikit_learn_checks():
    """Yield the checks of scikit-learn; those that train again for one more kind of input are slow."""
    for estimator, check in estimator_checks_generator(VAEDetector(**TINY)):
        name = check.func.__name__
        yield pytest.param(estimator, check, id=name, marks=() if name in ALWAYS_CHECKED else pytest.mark.slow)


@pytest.mark.parametrize(("estimator", "check"), [*scikit_learn_checks()])
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix")
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_the_scores_of_one_record_agree_with_each_other(fitted):
    records = numbers(100, seed=1)
    score = fitted.anomaly_score(records)
    np.testing.assert_array_equal(fitted.score_samples(records), -score)
    np.testing.assert_array_equal(fitted.decision_function(records), -score - fitted.offset_)
    np.testing.assert_array_equal(fitted.predict(records) == -1, score > fitted.artifact_.decision.threshold)
    np.testing.assert_array_equal(fitted.predict(records) == -1, fitted.p_value(records) <= fitted.false_positive_rate_)
    np.testing.assert_array_equal(fitted.anomaly_scores(records, ("ensemble",))["ensemble"], score)


def test_a_gross_error_is_an_anomaly_and_a_normal_record_is_none(fitted):
    assert fitted.predict(np.array([[0.0, 0.0, 0.0], [3.0, -3.0, 0.0], [0.0, np.inf, 0.0]])).tolist() == [1, -1, -1]


def test_a_frame_of_mixed_types_finds_the_type_of_each_column(mixed):
    assert [type(column).tag for column in mixed.artifact_.encoder.columns] == [
        "number", "number", "number", "flag", "category", "timestamp",
    ]  # fmt: skip
    assert mixed.n_features_in_ == 6
    wrong = make_records(20, seed=1).assign(mode="never seen")
    assert (mixed.predict(wrong) == -1).all()
    assert (mixed.attribution(wrong).idxmax(axis=1) == "mode").all()


def test_columns_can_be_declared_nominal_though_they_hold_numbers():
    records = pd.DataFrame({"x": np.random.default_rng(0).normal(size=100), "code": np.arange(100) % 3})
    encoder = VAEDetector(**TINY, categorical=["code"]).fit(records).artifact_.encoder
    assert {column.name: type(column).tag for column in encoder.columns} == {"x": "number", "code": "category"}


@pytest.mark.parametrize("has_text", [True, False], ids=["mixed", "all numbers"])
@pytest.mark.parametrize("has_null_in_training", [True, False])
def test_a_null_among_integer_codes_changes_no_other_code(has_text, has_null_in_training):
    rng = np.random.default_rng(0)
    records = pd.DataFrame({"x": rng.normal(size=200), "code": rng.integers(1, 4, 200)})
    records = records.assign(mode=rng.choice(["a", "b"], 200)) if has_text else records
    with_null = records.assign(code=records["code"].where(records.index > 0))
    detector = VAEDetector(**TINY, categorical=["code"]).fit(with_null if has_null_in_training else records)
    score = detector.anomaly_score(records)
    for kind in ("float64", "float32", "Int64", "category"):
        again = detector.anomaly_score(with_null.astype({"code": kind}))
        np.testing.assert_array_equal(again[1:], score[1:])
        assert again[0] != score[0]
    assert with_null["code"].dtype == np.float64  # as it was


def test_the_order_of_columns_does_not_matter_but_their_names_do(mixed):
    records = make_records(20, seed=1)
    reordered = records[sorted(records)].assign(unused=1)
    np.testing.assert_array_equal(mixed.anomaly_score(records), mixed.anomaly_score(reordered))
    with pytest.raises(MissingColumns, match=r"lack the columns \['flow', 'mode'\]"):
        mixed.predict(records.drop(columns=["mode", "flow"]))


def test_other_feature_names_or_numbers_than_in_training_are_refused(fitted):
    named = VAEDetector(**TINY).fit(pd.DataFrame(numbers(50, seed=0), columns=["a", "b", "c"]))
    with pytest.raises(ValueError, match="feature names should match"):
        named.predict(pd.DataFrame(numbers(5, seed=1), columns=["a", "b", "d"]))
    with pytest.raises(ValueError, match="X has 2 features, but VAEDetector is expecting 3"):
        fitted.predict(numbers(5, seed=1)[:, :2])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda fitted: pickle.loads(pickle.dumps(fitted))])
def test_a_copy_scores_the_same_bits(fitted, copied):
    records = numbers(50, seed=1)
    again = copied(fitted)
    np.testing.assert_array_equal(fitted.anomaly_score(records), again.anomaly_score(records))
    np.testing.assert_array_equal(fitted.predict(records), again.predict(records))


def test_a_detector_that_is_not_fitted_can_be_pickled_and_scores_nothing():
    again = pickle.loads(pickle.dumps(VAEDetector(**TINY)))
    assert again.get_params() == VAEDetector(**TINY).get_params()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        again.predict(numbers(5, seed=0))


def test_every_call_in_the_readme_works(mixed):
    calls = re.findall(r"^detector\.(\w+)\(new\)", (ROOT / "README.md").read_text(), re.MULTILINE)
    shapes = [getattr(mixed, call)(make_records(5, seed=1)).shape for call in calls]
    assert len(calls) == 4
    assert {shape[0] for shape in shapes} == {5}


def test_the_bytes_of_a_detector_make_the_same_detector(mixed):
    records, blob = make_records(50, seed=1), mixed.to_bytes()
    again = VAEDetector.from_bytes(blob, digest(blob))
    np.testing.assert_array_equal(mixed.anomaly_score(records), again.anomaly_score(records))
    np.testing.assert_array_equal(mixed.predict(records), again.predict(records))
    assert again.false_positive_rate_ == mixed.false_positive_rate_
    assert again.to_bytes() == blob
    assert again.get_params() == mixed.get_params()
    with pytest.raises(ArtifactError, match="SHA-256"):
        VAEDetector.from_bytes(blob, "0" * 64)


def test_a_detector_made_of_bytes_trains_the_same_model_again():
    records = make_records(1200).assign(code=np.arange(1200) % 4)
    column_types = {"categorical": ["code", "mode"], "boolean": ["is_open"], "timestamp": ["read_at"]}
    fitted = VAEDetector(**TINY, **column_types, false_positive_rate=0.05, threshold="pot")
    again = VAEDetector.from_bytes(fitted.fit(records).to_bytes())
    assert again.get_params() == fitted.get_params()
    assert clone(again).fit(records).to_bytes() == fitted.to_bytes()


def test_another_process_scores_the_same_bits(fitted, tmp_path):
    records = numbers(300, seed=1)
    (tmp_path / "model").write_bytes(fitted.to_bytes())
    np.save(tmp_path / "records.npy", records)
    command = [sys.executable, "-c", SCORE_IN_ANOTHER_PROCESS, tmp_path / "model", tmp_path / "records.npy"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == digest(fitted.anomaly_score(records).tobytes())


def test_the_automatic_rate_is_one_percent_or_what_the_records_can_resolve():
    few, many = (VAEDetector(**TINY).fit(numbers(n, seed=0)) for n in (50, 2000))
    assert few.false_positive_rate_ == pytest.approx(2 / 11)  # one of 10 calibration records is flagged
    assert many.false_positive_rate_ == 0.01


def test_a_rate_that_the_records_cannot_resolve_is_refused():
    with pytest.raises(RateTooSmall, match=r"rate of 0\.001 needs 999 calibration records, found 50"):
        VAEDetector(**TINY, false_positive_rate=0.001).fit(numbers(100, seed=0))


def test_a_tail_model_allows_a_rate_that_ranks_do_not():
    records = numbers(1500, seed=0)
    detector = VAEDetector(**QUICK, threshold="pot", false_positive_rate=1e-4).fit(records)
    assert detector.artifact_.calibration.tail is not None
    assert detector.predict(np.array([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])).tolist() == [1, -1]
    assert (detector.predict(records) == -1).sum() <= 2


def test_too_few_records_and_records_without_content_are_refused():
    with pytest.raises(NotEnoughRecords, match="Found 4 normal records, needed at least 8 to train on"):
        VAEDetector(**TINY).fit(numbers(5, seed=0))
    with pytest.raises(RecordsError, match="Every feature is constant in the 40 training records"):
        VAEDetector(**TINY).fit(np.ones((50, 2)))
    with pytest.raises(RecordsError, match=r"\['x1'\] are null in all 40"):
        VAEDetector(**TINY).fit(np.array([[float(i), np.nan] for i in range(50)]))


def test_the_seed_decides_the_model():
    records = numbers(60, seed=0)
    same, again, other = (VAEDetector(**TINY, random_state=seed).fit(records) for seed in (0, 0, 1))
    assert same.to_bytes() == again.to_bytes()
    assert same.to_bytes() != other.to_bytes()
    drawn = VAEDetector(**TINY, random_state=np.random.RandomState(3)).fit(records)
    assert drawn.artifact_.config.seed == np.random.RandomState(3).randint(2**31)


def test_a_detector_stands_in_a_pipeline_and_is_cloned(fitted):
    pipeline = make_pipeline(StandardScaler(), clone(fitted).set_params(steps=20)).fit(numbers(300, seed=0))
    assert set(pipeline.predict(np.array([[0.0, 0.0, 0.0], [6.0, -6.0, 0.0]]))) == {1, -1}


def test_the_generator_serves_the_estimator_too(mixed):
    records = make_records(10, seed=1)
    assert mixed.encode(records).shape == (10, mixed.artifact_.architecture.latent)
    assert list(mixed.reconstruct(records)) == list(records)
    pd.testing.assert_frame_equal(mixed.sample(5, random_state=1), mixed.sample(5, random_state=1))
    assert not mixed.sample(5, random_state=1).equals(mixed.sample(5, random_state=2))
    share = mixed.attribution(records)
    np.testing.assert_allclose(share.sum(axis=1), mixed.anomaly_score(records))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda frame: frame.set_axis(["a", "b", "a"], axis=1), r"more than one column with each of the names \['a'\]"),
        (lambda frame: frame.assign(c=[[1, 2]] * len(frame)), "Column 'c' holds a list in a record"),
        (lambda frame: frame.assign(c=[{"x": 1}] * len(frame)), "Column 'c' holds a dict in a record"),
        (lambda frame: frame.assign(c=[np.zeros(2)] * len(frame)), "Column 'c' holds a ndarray in a record"),
        (lambda frame: frame.assign(c=1j), "Column 'c' holds complex numbers"),
        (lambda frame: frame.set_axis([("a", "x"), ("a", "y"), ("b", "x")], axis=1).T.T, "2 levels, expected one"),
    ],
)
def test_a_frame_that_cannot_be_learned_from_is_refused_by_name(change, sentence):
    frame = pd.DataFrame(numbers(40, 0), columns=["a", "b", "c"])
    changed = change(frame)
    if "levels" in sentence:
        changed.columns = pd.MultiIndex.from_tuples(changed.columns)
    with pytest.raises(RecordsError, match=sentence):
        VAEDetector(**TINY).fit(changed)


def test_the_index_may_share_its_name_with_a_column():
    frame = pd.DataFrame(numbers(40, 0), columns=["a", "b", "c"])
    detector = VAEDetector(**TINY).fit(frame)
    named = frame.set_index(pd.Index(frame["a"], name="a"))
    assert (detector.anomaly_score(named) == detector.anomaly_score(frame)).all()


@pytest.mark.parametrize("is_of_an_earlier_version", [False, True])
def test_a_restored_detector_takes_its_training_frame_in_any_order_of_types(is_of_an_earlier_version):
    frame = pd.DataFrame(numbers(60, 0), columns=["a", "b", "c"]).fillna(0.0)
    frame.insert(1, "kind", np.arange(60) % 3)
    detector = VAEDetector(categorical=["kind"], **TINY).fit(frame)
    if is_of_an_earlier_version:
        del detector.artifact_.about["parameters"]["feature_names"]
    restored = VAEDetector.from_bytes(detector.to_bytes())
    assert (restored.anomaly_score(frame) == detector.anomaly_score(frame)).all()


def test_a_number_is_one_category_whatever_its_type():
    frame = pd.DataFrame(numbers(60, 0), columns=["a", "b", "c"]).fillna(0.0).assign(kind=np.arange(60) % 3)
    detector = VAEDetector(categorical=["kind"], **TINY).fit(frame)
    scores = detector.anomaly_score(frame)
    for same in (frame["kind"].astype(float), [Decimal(f"{kind}.00") for kind in frame["kind"]]):
        assert (detector.anomaly_score(frame.assign(kind=same)) == scores).all()
    padded = frame.assign(kind=[f"0{kind}" for kind in frame["kind"]])
    assert (detector.anomaly_score(padded) > scores).all()
