"""The benchmark of the neighbour search compares it with an exact search."""

import numpy as np

from benchmarks.neighbours import Comparison, Task, compare, summary


def save_table(path, rows):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows, 10)) @ rng.normal(size=(10, 20))
    features[:20] += 3
    np.savez(path, X=features, y=np.arange(rows) < 20)


def test_a_table_that_is_searched_whole_is_left_out(tmp_path):
    save_table(tmp_path / "small.npz", 600)
    assert compare(Task(tmp_path / "small.npz", 20_000, seed=0)) is None


def test_a_larger_table_reports_how_many_records_differ(tmp_path):
    save_table(tmp_path / "large.npz", 5_020)
    comparison = compare(Task(tmp_path / "large.npz", 20_000, seed=0))
    assert (comparison.reference, comparison.coordinates) == (2_500, 40)
    assert 0 < comparison.changed_share < 0.2
    assert abs(comparison.precision - comparison.exact_precision) < 0.02


def test_the_summary_means_over_splits_and_tables():
    comparisons = [Comparison(*line) for line in [("a", 2000, 8, 0.4, 0.4, 0.0), ("a", 2000, 8, 0.6, 0.5, 0.02)]]
    assert summary(comparisons).splitlines()[2:] == [
        "| a | 2,000 | 8 | 0.5000 | 0.4500 | 1.0% |",
        "| mean | 2,000 | 8 | 0.5000 | 0.4500 | 1.0% |",
    ]
