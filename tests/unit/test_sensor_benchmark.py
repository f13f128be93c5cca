"""The benchmark on series: reading of sets, measures, methods and reports."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.sensors import main
from benchmarks.series.data import Case, KnownCause, Series, find_sets, read_set
from benchmarks.series.events import (
    event_recall,
    false_rate,
    fixed_alarms,
    hit_rate,
    ndcg,
    online_alarms,
    settling_rows,
)
from benchmarks.series.measures import Ranking, Subject, measure
from benchmarks.series.methods import METHODS, Fitted, check_methods, split
from benchmarks.series.peers import Scale, smooth
from benchmarks.series.report import summary
from benchmarks.series.results import COLUMNS, append, open_results, read_results
from benchmarks.series.vus import THRESHOLDS, USUAL_PERIOD, period, vus_pr
from detector.core.threshold_tracking import USUAL_AFTER
from schemas.errors import RecordsError, UsageError

ROOT = Path(__file__).parents[2]
FAULT = (340, 380)
SUBJECT = Subject("plant", "pump", "pump", "knn", 0)


def spans(n, *bounds):
    labels = np.zeros(n, dtype=bool)
    for start, end in bounds:
        labels[start:end] = True
    return labels


def reference_vus_pr(labels, scores, window):
    """Compute VUS-PR by its definition, one threshold, window and row at a time."""
    thresholds = np.sort(scores)[::-1][np.linspace(0, len(scores) - 1, THRESHOLDS).astype(int)]
    anomalies = runs_of(labels)
    areas = []
    for width in range(window + 1):
        soft = soft_labels(labels, anomalies, width)
        regions = widened(anomalies, width // 2)
        points = [point(labels, soft, regions, scores >= threshold) for threshold in thresholds]
        recalls = [0, *(recall for recall, _ in points)]
        areas.append(sum((recalls[k + 1] - recalls[k]) * precision for k, (_, precision) in enumerate(points)))
    return np.mean(areas)


def runs_of(labels):
    rows = np.flatnonzero(labels)
    return [(int(run[0]), int(run[-1])) for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)]


def widened(anomalies, reach):
    """Return the anomalies with their slopes; anomalies that share a row are merged."""
    regions = []
    for first, last in anomalies:
        if regions and regions[-1][1] >= first - reach:
            regions[-1][1] = last + reach
        else:
            regions.append([max(first - reach, 0), last + reach])
    return regions


def soft_labels(labels, anomalies, width):
    soft = labels.astype(float)
    for row in range(len(labels)):
        for first, last in anomalies:
            distance = max(first - row, row - last)
            if 0 < distance <= width // 2:
                soft[row] += np.sqrt(1 - distance / width)
    return np.minimum(soft, 1)


def point(labels, soft, regions, flagged):
    """Return recall and precision at one threshold."""
    true_positives = (soft * flagged).sum()
    positives = (labels.sum() + np.where(labels, 1, soft * flagged).sum()) / 2
    touched = np.mean([flagged[first : last + 1].any() for first, last in regions])
    return min(true_positives / positives, 1) * touched, true_positives / flagged.sum()


@pytest.mark.parametrize(
    "labels",
    [
        spans(400, (100, 130)),
        spans(400, (0, 12), (390, 400)),
        spans(300, (40, 41), (44, 50), (53, 54), (120, 180), (187, 190)),
        spans(90, (0, 90)),
        np.arange(200) % 7 == 0,
    ],
)
@pytest.mark.parametrize("window", [0, 1, 2, 9, 24])
def test_vus_pr_is_what_its_definition_says(labels, window):
    rng = np.random.default_rng(window)
    for scores in (rng.normal(size=len(labels)) + labels, rng.integers(0, 4, len(labels)).astype(float)):
        assert vus_pr(labels, scores, window) == pytest.approx(reference_vus_pr(labels, scores, window), abs=1e-12)


def test_vus_pr_is_one_for_a_perfect_score_of_sharp_labels_and_low_for_the_opposite():
    labels = spans(THRESHOLDS, (50, 60), (150, 200))
    assert vus_pr(labels, labels.astype(float), 0) == pytest.approx(1)
    assert vus_pr(labels, -labels.astype(float), 0) < 0.3


def test_an_alarm_just_before_an_anomaly_counts_more_than_one_far_away():
    labels = spans(500, (200, 230))
    early, wrong = np.zeros(500), np.zeros(500)
    early[190:200] = wrong[20:30] = 1
    assert vus_pr(labels, early, 60) > vus_pr(labels, wrong, 60) + 0.1


def test_the_period_is_that_of_the_channel_and_a_default_without_one():
    rows = np.arange(1_000)
    assert period(np.sin(2 * np.pi * rows / 37)) in {36, 37, 38}
    assert period(np.ones(1_000)) == USUAL_PERIOD
    assert period(rows.astype(float)) == USUAL_PERIOD


def test_smoothing_halves_the_weight_of_a_score_in_its_half_life_and_starts_at_the_first():
    impulse = smooth(np.array([0.0, 1, 0, 0, 0]), half_life=2)
    assert impulse[3] == pytest.approx(impulse[1] / 2)
    assert smooth(np.full(4, 5.0), half_life=3).tolist() == pytest.approx([5, 5, 5, 5])


def test_fixed_alarms_are_those_above_the_rank_of_the_rate():
    reference = np.arange(99.0)
    assert fixed_alarms(reference, np.array([97.0, 98.0, 98.5]), 0.01).tolist() == [False, False, True]
    assert fixed_alarms(reference[:98], np.array([200.0]), 0.01) is None
    assert online_alarms(reference[:98], np.array([200.0]), 0.01) is None


def test_the_online_rate_holds_if_scores_drift_and_the_fixed_one_does_not():
    rng = np.random.default_rng(0)
    reference, drifting = rng.normal(size=2_000), rng.normal(size=10_000) + np.linspace(0, 2, 10_000)
    normal = np.zeros(10_000, dtype=bool)
    assert false_rate(fixed_alarms(reference, drifting, 0.01), normal) > 0.08
    assert false_rate(online_alarms(reference, drifting, 0.01), normal) == pytest.approx(0.01, abs=0.003)


def test_rows_settle_while_a_level_becomes_usual():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=3_000) + 20 * (np.arange(3_000) >= 1_000)
    rows = np.flatnonzero(settling_rows(rng.normal(size=1_000), scores, 0.01))
    assert (rows[0], rows[-1], len(rows)) == (pytest.approx(1_000, abs=2), pytest.approx(1_300, abs=2), USUAL_AFTER)


def test_recall_counts_anomalies_and_the_false_rate_normal_rows():
    labels = spans(10, (1, 4), (8, 10))
    alarms = spans(10, (3, 6))
    assert event_recall(alarms, labels) == 0.5
    assert false_rate(alarms, labels) == pytest.approx(2 / 5)
    assert event_recall(alarms, np.zeros(10, dtype=bool)) is None
    assert false_rate(alarms, np.ones(10, dtype=bool)) is None


def test_causes_are_ranked_by_their_largest_value_within_the_anomaly():
    causes = np.array([[9.0, 0, 0, 0], [0, 5, 1, 0], [0, 0, 3, 4]])
    cause = KnownCause(1, 3, (1, 2))
    assert hit_rate(causes, cause) == 0.5
    assert ndcg(causes, cause) == pytest.approx((1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3)))
    assert ndcg(causes, KnownCause(1, 3, (0,))) == pytest.approx(1 / np.log2(5))


def test_a_constant_channel_stands_out_when_it_changes_and_a_missing_cell_does_not():
    scale = Scale.fit([Series(np.arange(4), np.array([[1.0, 5], [3, 5], [np.nan, 5], [2, 5]]))])
    cells = scale(Series(np.arange(3), np.array([[2.0, 5], [np.nan, 4], [2 + np.sqrt(2 / 3) * 5, np.nan]])))
    assert cells == pytest.approx(np.array([[0, 0], [0, -4], [4 + np.log(2), 0]]))


def series(n, seed=0, fault=None):
    """Return two channels that wave together; in a fault the second one has a level of its own."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(n) / 5)
    values = np.column_stack([wave, wave]) + 0.05 * rng.normal(size=(n, 2))
    if fault:
        values[slice(*fault), 1] += 3
    return Series(np.arange(n), values)


def case():
    return Case("pump", "pump", series(400, 1, FAULT), spans(400, FAULT), (KnownCause(*FAULT, (1,)),))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_a_fault_and_keeps_its_rate_on_quiet_series(name):
    fitted = METHODS[name]({"pump": [series(1_000)]}, 0)["pump"]
    measurement = measure(SUBJECT, case(), fitted, fit_seconds=1.0)
    assert len(fitted.reference) == (1_000 if name.startswith("plumbline") else 200)
    assert measurement.ranking.auroc > 0.9
    assert measurement.ranking.vus_pr > 0.5
    assert measurement.fixed.event_recall == 1
    assert measurement.records_per_second > 0
    assert fixed_alarms(fitted.reference, fitted.scores(series(2_000, 2)), 0.01).mean() < 0.04


@pytest.mark.parametrize("name", METHODS)
def test_a_score_does_not_know_what_comes_after_its_record(name):
    scores = METHODS[name]({"pump": [series(300)]}, 0)["pump"].scores
    whole = case().test
    assert scores(whole[:350]) == pytest.approx(scores(whole)[:350], rel=1e-5)


@pytest.mark.parametrize("name", ["linear_ar", "mean_distance"])
def test_methods_that_look_at_single_channels_name_the_cause(name):
    measurement = measure(SUBJECT, case(), METHODS[name]({"pump": [series(1_000)]}, 0)["pump"], 1.0)
    assert (measurement.attribution.ndcg5, measurement.attribution.hit100) == (1, 1)


def test_a_linear_forecast_does_not_see_the_record_that_it_forecasts():
    noise = np.random.default_rng(0).normal(size=(1_000, 2))
    causes = METHODS["linear_ar"]({"pump": [Series(np.arange(1_000), noise)]}, 0)["pump"].causes
    spike = np.zeros((20, 2))
    spike[10, 1] = 4
    assert causes(Series(np.arange(20), spike))[10] == pytest.approx([0, 4], abs=0.3)


def test_without_anomalies_there_is_nothing_to_rank():
    quiet = Case("pump", "pump", series(100), np.zeros(100, dtype=bool))
    measurement = measure(SUBJECT, quiet, METHODS["knn"]({"pump": [series(600)]}, 0)["pump"], 1.0)
    assert measurement.ranking == Ranking()
    assert measurement.fixed.event_recall is None
    assert measurement.fixed.rate is not None


@pytest.mark.parametrize("scores", [np.zeros(3), np.full(400, np.nan)])
def test_scores_that_are_missing_or_not_finite_are_refused(scores):
    with pytest.raises(RecordsError, match="Expected one finite score for each"):
        measure(SUBJECT, case(), Fitted(np.arange(10.0), lambda _: scores), 1.0)


def test_the_last_fifth_is_held_back_and_runs_stay_apart():
    earlier, later = split([series(60), series(30, 1), series(10, 2)])
    assert ([len(run) for run in earlier], [len(run) for run in later]) == ([60, 20], [10, 10])
    assert later[0].times.tolist() == list(range(20, 30))


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match=r"no methods \['knnn'\]"):
        check_methods(["knn", "knnn"])


def frame(entity, part, values, label=None):
    labels = np.zeros(len(values), dtype=int) if label is None else label.astype(int)
    columns = {"a": values[:, 0], "rul": 7, "b": values[:, 1], "label": labels}
    return pd.DataFrame({"time": np.arange(len(values)), "entity": entity, "split": part, **columns})


def write_set(folder, entity="pump", trained_on="pump"):
    folder.mkdir(parents=True)
    test = case()
    frames = [frame(trained_on, "train", series(600).values), frame(entity, "test", test.test.values, test.is_anomaly)]
    pd.concat(frames).sample(frac=1, random_state=0).sort_values("time").to_parquet(folder / "rows.parquet")
    causes = {"entity": [entity], "start": [FAULT[0]], "end": [FAULT[1]], "channel_index": [[1]]}
    pd.DataFrame(causes).to_parquet(folder / "causes.parquet")


def test_a_set_has_channels_labels_and_causes_of_each_entity(tmp_path):
    write_set(tmp_path / "plant")
    series_set = read_set(tmp_path / "plant")
    [pump] = series_set.cases
    assert (pump.entity, pump.training, pump.test.values.shape) == ("pump", "pump", (400, 2))
    assert pump.test.values == pytest.approx(case().test.values)
    assert pump.is_anomaly.tolist() == case().is_anomaly.tolist()
    assert pump.causes == (KnownCause(*FAULT, (1,)),)
    assert [len(run) for run in series_set.trainings["pump"]] == [600]


def test_an_entity_without_training_records_is_scored_by_the_model_of_all(tmp_path):
    folder = tmp_path / "plant"
    write_set(folder, entity="new", trained_on="old")
    more = frame("older", "train", series(50).values, np.arange(50) > 39)
    pd.concat([pd.read_parquet(folder / "rows.parquet"), more]).to_parquet(folder / "rows.parquet")
    series_set = read_set(folder)
    assert series_set.cases[0].training == "all of rows"
    assert [len(run) for run in series_set.trainings["all of rows"]] == [600, 40]  # without what is labelled


def test_sets_are_found_by_name_and_wrong_names_are_refused(tmp_path):
    for name in ("b", "a"):
        write_set(tmp_path / name)
    assert [path.name for path in find_sets([tmp_path])] == ["a", "b"]
    assert find_sets([tmp_path], ["b"]) == find_sets([tmp_path / "b"])
    with pytest.raises(UsageError, match=r"no sets \['c'\]. Choose from \['a', 'b'\]"):
        find_sets([tmp_path], ["c"])
    with pytest.raises(UsageError, match="There is no set in"):
        find_sets([tmp_path / "c"])


def test_a_file_that_cannot_be_measured_is_refused(tmp_path):
    write_set(tmp_path / "plant")
    path = tmp_path / "plant" / "rows.parquet"
    rows = pd.read_parquet(path)
    rows[rows["split"] == "test"].to_parquet(path)
    with pytest.raises(RecordsError, match="no normal record in split 'train'"):
        read_set(tmp_path / "plant")
    rows.drop(columns="label").to_parquet(path)
    with pytest.raises(RecordsError, match=r"lacks the columns \['label'\]"):
        read_set(tmp_path / "plant")
    rows.assign(a="high").to_parquet(path)
    with pytest.raises(RecordsError, match=r"The columns \['a'\] of .* are no numbers"):
        read_set(tmp_path / "plant")
    path.write_bytes(b"no Parquet")
    with pytest.raises(RecordsError, match="cannot be read"):
        read_set(tmp_path / "plant")


def test_results_are_appended_and_a_torn_line_is_measured_again(tmp_path):
    path = tmp_path / "results.csv"
    assert open_results(path) == set()
    measurement = measure(SUBJECT, case(), METHODS["knn"]({"pump": [series(600)]}, 0)["pump"], 1.0)
    append(path, [measurement, measurement])
    path.write_text(path.read_text()[:-4])
    assert open_results(path) == {("plant", "pump", "knn", 0)}
    [line] = read_results(path).to_dict("records")
    assert tuple(line) == COLUMNS
    assert line["vus_pr"] == pytest.approx(measurement.ranking.vus_pr, rel=1e-5)
    assert line["fpr_online_at_0.01"] == pytest.approx(measurement.online.rate, rel=1e-5)


def test_a_file_with_other_columns_is_not_taken_for_results(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n3")
    with pytest.raises(UsageError, match=r"has the columns \['a', 'b'\]"):
        open_results(tmp_path / "other.csv")
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n3"


def results_of(*lines):
    usual = {"training": "one", "seed": 0, "calibration_records": 2_000, "normal_records": 1_000, "events": 1}
    return pd.DataFrame([usual | line for line in lines]).reindex(columns=COLUMNS)


def test_the_summary_means_over_entities_then_over_the_sets_that_all_methods_have():
    def line(dataset, entity, method, vus):
        return {"dataset": dataset, "entity": entity, "method": method, "vus_pr": vus, "auc_pr": 0.5, "auroc": 0.5}

    knn = [line("a", "1", "knn", 0.2), line("a", "2", "knn", 0.4), line("b", "1", "knn", 0.7)]
    pca = [line("a", "1", "pca", 0.1), line("a", "2", "pca", 0.1), line("b", "1", "pca", 0.1)]
    text = summary(results_of(*knn, *pca, line("c", "1", "knn", 0.9)))
    assert "| knn | 50.0 | 50.0 | 50.0 |" in text
    assert "| knn | 30.0 | 70.0 |" in text
    assert "2 sets; 1 seed(s). Left out because a method lacks them: c." in text


def test_the_calibration_table_counts_models_and_weighs_their_series_by_normal_records():
    shared = {"dataset": "a", "method": "knn", "event_recall": 1.0, "vus_pr": 0.5}
    shared |= {"found_share": 0.5, "single_share": 1.0, "settled_rate": 0.01, "settled_records": 1_000}
    results = results_of(
        shared | {"entity": "1", "fpr_at_0.01": 0.01, "normal_records": 3_000},
        shared | {"entity": "2", "fpr_at_0.01": 0.03, "event_recall": 0.5, "events": 4},
        shared | {"entity": "3", "fpr_at_0.01": 0.3, "training": "short", "calibration_records": 200},
        shared | {"entity": "4", "event_recall": None, "training": "too short", "calibration_records": 50},
        shared | {"entity": "5", "fpr_at_0.01": 0.5, "normal_records": 999, "settled_records": 999, "training": "b"},
    )
    assert "| knn fixed | 2 | 2 | 15.75% | 50% | 1.00% | 100% | 1.0% | 71% | 50% | 100% |" in summary(results)


def test_the_attribution_table_has_the_methods_and_sets_that_name_causes():
    shared = {"entity": "1", "vus_pr": 0.5}
    results = results_of(
        shared | {"dataset": "a", "method": "z", "ndcg5": 0.9, "hit100": 0.8},
        shared | {"dataset": "b", "method": "z", "ndcg5": 0.7, "hit100": 0.6},
        shared | {"dataset": "a", "method": "ar", "ndcg5": 0.5, "hit100": 0.4},
        shared | {"dataset": "a", "method": "knn"},
    )
    text = summary(results).split("## Attribution")[1]
    assert "| method | a NDCG@5 | a Hit@100% | b NDCG@5 | b Hit@100% |" in text
    assert "| z | 90.0 | 80.0 | 70.0 | 60.0 |" in text
    assert "| ar | 50.0 | 40.0 |  |  |" in text
    assert "knn" not in text


def run_benchmark(folder, out, *extra):
    command = [sys.executable, "-m", "benchmarks.sensors", "--data", folder, "--out", out]
    command += ["--methods", "mean_distance,linear_ar", *extra]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow  # runs a whole benchmark, which users run by hand
def test_an_interrupted_run_continues(tmp_path):
    out = tmp_path / "results.csv"
    write_set(tmp_path / "data" / "plant")
    first = run_benchmark(tmp_path / "data", out)
    assert (first.returncode, first.stderr.count("VUS-PR")) == (0, 2)
    assert "## Calibration at a rate of 1%" in first.stdout
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:-1]))
    second = run_benchmark(tmp_path / "data", out)
    assert (second.returncode, second.stderr.count("VUS-PR")) == (0, 1)
    assert len(read_results(out)) == 2


@pytest.mark.slow  # runs a whole benchmark, which users run by hand
def test_a_task_that_fails_is_named_and_the_others_are_measured(tmp_path):
    for name in ("plant", "short"):
        write_set(tmp_path / "data" / name)
    path = tmp_path / "data" / "short" / "rows.parquet"
    rows = pd.read_parquet(path)
    rows[(rows["split"] == "test") | (rows["time"] == 0)].to_parquet(path)  # one record to train on
    done = run_benchmark(tmp_path / "data", tmp_path / "results.csv")
    assert done.returncode == 1
    assert "short linear_ar seed 0: failed:" in done.stderr
    assert set(read_results(tmp_path / "results.csv")["dataset"]) == {"plant"}


def test_a_wrong_call_ends_with_a_sentence_and_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "results.csv"
    write_set(tmp_path / "plant")
    assert main(["--data", str(tmp_path), "--out", str(out), "--methods", "knnn"]) == 2
    assert main(["--data", str(tmp_path), "--out", str(out), "--sets", "plants"]) == 2
    assert main(["--summary-only", "--out", str(out)]) == 2
    errors = capsys.readouterr().err
    assert all(part in errors for part in ("no methods ['knnn']", "no sets ['plants']", "There are no results at"))
    assert not out.exists()
