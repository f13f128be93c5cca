"""The benchmark on labelled tables: inputs of the methods, measurements and reports."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import methods
from benchmarks.baselines_without_network import fit_control
from benchmarks.protocol import PValues, conformal, measure, split
from benchmarks.report import summary
from benchmarks.results import COLUMNS, append, open_results, read_results
from benchmarks.tables import LabelledTable, cut, find_tables, read_table
from benchmarks.tabular import main
from schemas.errors import RecordsError, UsageError

ROOT = Path(__file__).parents[2]


def labelled(normal=120, anomalies=12, seed=0):
    """Return two correlated columns and a nominal one; anomalies break the correlation and have their own value."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=normal + anomalies)
    is_anomaly = np.arange(normal + anomalies) >= normal
    records = pd.DataFrame(
        {
            "flow": level + 6 * is_anomaly,
            "pressure": level + 0.1 * rng.normal(size=len(level)) - 6 * is_anomaly,
            "mode": np.where(is_anomaly, "purge", np.where(level > 0, "fast", "slow")),
        }
    )
    return LabelledTable("pumps", records, ("mode",), is_anomaly)


def write_npz(path, seed=0):
    table = labelled(seed=seed)
    np.savez(path, X=table.records[["flow", "pressure"]].to_numpy(), y=table.is_anomaly.astype(int))


def test_training_sees_half_of_the_normal_records_and_no_anomaly():
    table = labelled()
    part = split(table, seed=3)
    assert "purge" not in set(part.train["mode"])
    assert (len(part.train), len(part.test), part.is_anomaly.sum()) == (60, 72, 12)
    flows = pd.concat([part.train, part.test])["flow"]
    assert sorted(flows) == sorted(table.records["flow"])


def test_another_seed_is_another_split_and_the_same_seed_the_same():
    table = labelled()
    first, again, other = (split(table, seed).train["flow"].tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_large_table_is_cut_with_its_share_of_anomalies_always_to_the_same_records():
    table = labelled(normal=900, anomalies=100)
    small = cut(table, 200)
    assert (len(small.records), small.is_anomaly.sum()) == (200, 20)
    assert (small.records["mode"] == "purge").to_numpy().tolist() == small.is_anomaly.tolist()
    assert small.records.equals(cut(table, 200).records)
    assert cut(table, 1000) is table


def test_columns_that_explain_the_label_are_dropped_and_text_is_nominal(tmp_path):
    frame = pd.DataFrame({"udi": range(30), "type": ["L", "M", "H"] * 10, "torque_nm": 1.5, "twf": 0})
    frame.assign(label=[0] * 29 + [1]).to_parquet(tmp_path / "ai4i2020.parquet")
    table = read_table(tmp_path / "ai4i2020.parquet")
    assert list(table.records) == ["type", "torque_nm"]
    assert table.categorical == ("type",)
    assert table.kind == "mixed"


def test_in_the_folder_of_nominal_tables_flags_are_nominal_too(tmp_path):
    path = tmp_path / "categorical" / "flags.parquet"
    path.parent.mkdir()
    pd.DataFrame({"flag": [0, 1] * 10, "label": [0] * 19 + [1]}).to_parquet(path)
    assert read_table(path).categorical == ("flag",)


def test_arrays_become_numeric_tables(tmp_path):
    write_npz(tmp_path / "a.npz")
    table = read_table(tmp_path / "a.npz")
    assert (table.name, table.kind, table.records.shape, table.is_anomaly.sum()) == ("a", "numeric", (132, 2), 12)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"X": np.zeros((20, 2)), "z": np.zeros(20)}, "Expected the arrays 'X'"),
        ({"X": np.zeros((20, 2)), "y": np.zeros(20)}, "has 0 anomalies and 20 normal records"),
        ({"X": np.array([None]), "y": np.zeros(1)}, "cannot be read"),
    ],
)
def test_a_file_that_measures_nothing_is_refused(tmp_path, content, reason):
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(RecordsError, match=reason):
        read_table(tmp_path / "bad.npz")


def test_tables_are_found_below_a_folder_without_excluded_ones(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.npz", "deep/a.parquet", "nsl_kdd_test.parquet", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_tables([tmp_path])] == ["a.parquet", "b.npz"]
    (tmp_path / "deep" / "b.parquet").touch()
    with pytest.raises(UsageError, match="Two tables have the name 'b'"):
        find_tables([tmp_path])


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no table in"):
        find_tables([tmp_path])


@pytest.mark.parametrize("name", [*methods.CONTROLS, *methods.CHEAP_PEERS])
def test_every_peer_and_control_finds_anomalies_in_mixed_records_and_is_calibrated(name):
    table = labelled()
    part = split(table, seed=0)
    [outcome] = methods.run((name,), part, seed=0)
    measured = measure(table, part, 0, outcome)
    assert measured.auroc > 0.9
    assert outcome.p_values.calibrated_on == 12
    assert measured.realised_rates == (None, None)
    assert measured.score_rows_per_second > 0


@pytest.mark.parametrize("name", methods.CONTROLS)
def test_a_control_measures_distance_and_adds_the_surprise_of_a_value_never_seen(name):
    table = labelled()
    score = fit_control(name, split(table, seed=0).train, table.categorical)
    usual, far, unseen = score(pd.DataFrame({"flow": [0, 4, 0], "pressure": [0, -4, 0], "mode": ["fast", "fast", "x"]}))
    assert far > 2 * usual
    assert unseen >= np.sqrt(2 * np.log(62))  # ln(n + 2) nats as a distance, n = 60


@pytest.mark.slow  # runs a whole benchmark, which users run by hand
def test_our_detector_gives_every_score_from_one_fit():
    table = labelled()
    part = split(table, seed=0)
    outcomes = {outcome.method: outcome for outcome in methods.run(methods.OURS, part, seed=0)}
    assert set(outcomes) == set(methods.OURS)
    assert len({outcome.fit_seconds for outcome in outcomes.values()}) == 1
    assert all(measure(table, part, 0, outcome).auroc > 0.95 for outcome in outcomes.values())
    assert outcomes[methods.DEFAULT].p_values.calibrated_on == 12


def test_methods_that_share_a_fit_stay_together():
    assert methods.fits(["knn", "elbo", "pca", "ensemble"]) == [("elbo", "ensemble"), ("knn",), ("pca",)]


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="no methods \\['knnn'\\]"):
        methods.check_methods(["knn", "knnn"])


def test_the_realised_rate_counts_normal_records_only():
    p_values = PValues(np.array([0.04, 0.5, 0.01, 0.2]), calibrated_on=99)
    is_anomaly = np.array([False, False, True, False])
    assert p_values.realised_rate(0.05, is_anomaly) == pytest.approx(1 / 3)
    assert p_values.realised_rate(0.01, is_anomaly) == 0
    assert PValues(p_values.values, calibrated_on=98).realised_rate(0.01, is_anomaly) is None


def test_ties_count_as_at_least_as_anomalous():
    p_values = conformal(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 2.0, 4.0]))
    assert p_values.values.tolist() == [1.0, 0.8, 0.2]


def test_results_are_appended_and_a_torn_line_is_measured_again(tmp_path):
    path, table = tmp_path / "results.csv", labelled()
    part = split(table, seed=0)
    assert open_results(path) == set()
    for name in ("knn", "pca"):
        append(path, [measure(table, part, 0, outcome) for outcome in methods.run((name,), part, seed=0)])
    assert open_results(path) == {("pumps", "knn", 0), ("pumps", "pca", 0)}
    path.write_text(path.read_text()[:-5])
    assert open_results(path) == {("pumps", "knn", 0)}
    assert tuple(read_results(path).columns) == COLUMNS


def test_a_file_with_other_columns_is_not_taken_for_results(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"has the columns \['a', 'b'\]"):
        open_results(tmp_path / "other.csv")
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"


def results_of(scores):
    """Return results with the given (auroc, ap) by method and table, the same for two seeds."""
    lines = [
        {"dataset": table, "kind": "numeric", "method": method, "seed": seed, "auroc": auroc, "average_precision": ap}
        for method, by_table in scores.items()
        for table, (auroc, ap) in by_table.items()
        for seed in (0, 1)
    ]
    return pd.DataFrame(lines).reindex(columns=COLUMNS)


def test_the_summary_counts_wins_ties_and_losses_by_table():
    ours = {"a": (0.9, 0.5), "b": (0.8, 0.504), "c": (0.7, 0.4)}
    knn = {"a": (0.8, 0.4), "b": (0.9, 0.5), "c": (0.697, 0.45)}
    text = summary(results_of({"ensemble": ours, "knn": knn}))
    assert "| ensemble | 0.8000 | 0.4680 | 1.3 | 1.3 |" in text
    assert "| knn | +0.0010 | 1/1/1 |" in text
    assert "| +0.0180 | 1/1/1 |" in text


def test_the_summary_tests_gains_by_the_signed_ranks_of_tables():
    tables = {f"t{i}": (0.8 + 0.01 * i, 0.5) for i in range(1, 7)}
    text = summary(results_of({"ensemble": tables, "knn": dict.fromkeys(tables, (0.8, 0.5))}))
    assert "| knn | +0.0350 | 6/0/0 | 0.0312 | +0.0000 | 0/6/0 | 1 |" in text  # six gains of six: p = 2 / 2**6


def test_means_are_over_the_tables_of_every_method_and_the_summary_reports_it():
    text = summary(results_of({"ensemble": {"a": (0.9, 0.5), "b": (0.1, 0.1)}, "lof": {"a": (0.6, 0.5)}}))
    assert "Means over 1 tables and 2 seed(s); rank 1 is best. 1 left out because a method lacks them: lof 1." in text
    assert "| ensemble | 0.9000 |" in text
    assert "| lof | +0.3000 | 1/0/0 |" in text


def run_benchmark(folder, out, *extra):
    command = [sys.executable, "-m", "benchmarks.tabular", "--data", folder, "--out", out, "--methods", "knn,pca"]
    return subprocess.run([*command, *extra], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow  # runs a whole benchmark, which users run by hand
def test_an_interrupted_run_continues(tmp_path):
    out = tmp_path / "results.csv"
    for name, seed in (("a", 0), ("b", 1)):
        write_npz(tmp_path / f"{name}.npz", seed)
    first = run_benchmark(tmp_path, out)
    assert (first.returncode, first.stderr.count(" AUROC ")) == (0, 4)
    assert "## Numeric tables" in first.stdout
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:-1]))
    second = run_benchmark(tmp_path, out)
    assert (second.returncode, second.stderr.count(" AUROC ")) == (0, 1)
    assert len(read_results(out)) == 4


@pytest.mark.slow  # runs a whole benchmark, which users run by hand
def test_a_table_that_fails_is_named_and_the_others_are_measured(tmp_path):
    write_npz(tmp_path / "good.npz")
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    done = run_benchmark(tmp_path, tmp_path / "results.csv")
    assert done.returncode == 1
    assert "broken knn seed 0: failed:" in done.stderr
    assert set(read_results(tmp_path / "results.csv")["dataset"]) == {"good"}


@pytest.mark.parametrize("extra", [("--jobs", "0"), ("--seeds", "one"), ("--data",)])
def test_an_option_with_a_wrong_value_ends_the_call(tmp_path, extra, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--data", str(tmp_path), "--out", str(tmp_path / "results.csv"), *extra])
    assert extra[0] in capsys.readouterr().err


def test_a_wrong_call_ends_with_an_error_and_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "results.csv"
    assert main(["--data", str(tmp_path), "--out", str(out), "--methods", "knnn"]) == 2
    assert "There are no methods ['knnn']" in capsys.readouterr().err
    assert main(["--summary-only", "--out", str(out)]) == 2
    assert "There are no results at" in capsys.readouterr().err
    assert not out.exists()
