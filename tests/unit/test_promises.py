"""The benchmarks of calibrated rates, and of training on records with anomalies among them."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom

from benchmarks import calibration, contamination
from benchmarks.tables import LabelledTable


def labelled(normal=1_000, anomalies=300, seed=0):
    """Return two correlated columns; anomalies break the correlation."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=normal + anomalies)
    is_anomaly = np.arange(normal + anomalies) >= normal
    pressure = level + 0.1 * rng.normal(size=len(level)) - 6 * is_anomaly
    return LabelledTable("pumps", pd.DataFrame({"flow": level, "pressure": pressure}), (), is_anomaly)


def write_npz(path, **sizes):
    table = labelled(**sizes)
    np.savez(path, X=table.records.to_numpy(), y=table.is_anomaly.astype(int))


@pytest.mark.parametrize("place", ["below", "inside", "above"])
def test_counts_just_outside_and_just_inside_the_band_are_distinguished(place):
    low, high = (int(edge) for edge in betabinom.ppf([0.005, 0.995], 500, 5, 95))
    flagged = {"below": low - 1, "inside": low, "above": high + 1}[place]
    p_values = np.repeat([0.05, 0.06], [flagged, 500 - flagged])
    assert calibration.rate_on(p_values, 99, 0.05) == (flagged / 500, place)


def test_the_band_holds_99_of_100_counts_of_exchangeable_scores():
    rng, places = np.random.default_rng(0), []
    for _ in range(2_000):
        reference, fresh = np.sort(rng.exponential(size=199)), rng.exponential(size=300)
        p_values = (200 - np.searchsorted(reference, fresh)) / 200
        places.append(calibration.rate_on(p_values, 199, 0.05)[1])
    assert 0.985 <= places.count("inside") / len(places) <= 0.999


def test_a_mixed_batch_has_nine_normal_records_for_each_anomaly():
    normal, anomalous = np.linspace(0.1, 1, 500), np.full(70, 0.001)
    p_values, is_anomaly = calibration.mixed_batch(normal, anomalous, np.random.default_rng(0))
    assert (is_anomaly.sum(), (~is_anomaly).sum()) == (55, 495)
    assert set(p_values[is_anomaly]) == {0.001}
    assert len(set(p_values[~is_anomaly])) == 495


def test_the_share_of_false_discoveries_is_among_the_flagged():
    p_values = np.array([0.001, 0.001, 0.001, 0.001, 0.5, 0.9])
    is_anomaly = np.array([True, True, True, False, True, False])
    assert calibration.discovered(p_values, is_anomaly) == (0.25, 0.75)
    assert calibration.discovered(np.ones(6), is_anomaly) == (0.0, 0.0)


def test_calibration_is_reported_for_tables_with_records_enough(tmp_path, capsys):
    write_npz(tmp_path / "large.npz")
    write_npz(tmp_path / "small.npz", normal=100)
    options = ["--splits", "2", "--vae-splits", "0", "--min-normal", "500", "--max-normal", "800"]
    assert calibration.main(["--data", str(tmp_path), *options]) == 0
    shown = capsys.readouterr()
    assert "| control_knn at 0.05 | 2 |" in shown.out
    assert "| large | " in shown.out
    assert "small" not in shown.out + shown.err


def test_anomalies_in_training_have_the_requested_share_and_are_never_measured():
    table = labelled()
    parts = {share: contamination.dirty_split(table, share, seed=0) for share in contamination.SHARES}
    for share, part in parts.items():
        broken = (part.train["flow"] - part.train["pressure"]).abs() > 3
        assert broken.mean() == pytest.approx(share, abs=0.001)
        assert part.test.equals(parts[0.0].test)
        assert not set(part.train["flow"]) & set(part.test["flow"])
    assert parts[0.1].is_anomaly.sum() == 150


@pytest.mark.slow  # runs a whole benchmark, which users run by hand
def test_anomalies_in_training_cost_precision_and_the_summary_reports_the_loss(tmp_path, capsys, monkeypatch):
    write_npz(tmp_path / "pumps.npz")
    write_npz(tmp_path / "few.npz", anomalies=30)
    monkeypatch.setattr(contamination, "METHODS", ("knn", "isolation_forest"))
    assert contamination.main(["--data", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "few" not in shown.out + shown.err
    assert shown.err.count("pumps knn") == len(contamination.SHARES)
    assert "| table | knn 0% | knn 10% | isolation_forest 0% | isolation_forest 10% |" in shown.out


@pytest.mark.parametrize("main", [calibration.main, contamination.main])
def test_a_folder_without_tables_ends_the_call_with_a_sentence(main, tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "There is no table in" in capsys.readouterr().err


def test_tables_without_anomalies_enough_end_the_call_with_a_sentence(tmp_path, capsys):
    write_npz(tmp_path / "few.npz", anomalies=30)
    assert contamination.main(["--data", str(tmp_path)]) == 2
    assert "needs. Name other folders in --data" in capsys.readouterr().err


def test_a_share_that_failed_on_every_table_is_no_number_in_the_summary():
    lines = contamination.summary([contamination.Precision("pumps", "knn", 0.0, 0.5)]).splitlines()
    assert lines[2].startswith("| knn | 0.500 | nan | nan | nan |")
