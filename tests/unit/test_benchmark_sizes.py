"""The benchmark of sizes measures tables and reports them in order."""

import numpy as np

from benchmarks.sizes import Cost, Task, measure, summary


def test_a_process_that_only_reads_fits_nothing(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "small.npz", X=rng.normal(size=(40, 3)), y=np.repeat([0, 1], [33, 7]))
    cost = measure(Task(tmp_path / "small.npz", is_fitted=False))
    assert (cost.table, cost.records, cost.features, cost.fit_seconds) == ("small", 33, 3, 0.0)
    assert cost.peak_mib > 10


def test_tables_are_reported_from_the_smallest_to_the_largest():
    costs = [
        (Cost(name, records, 10, 0.0, 100.0), Cost(name, records, 10, 7.25, 812.4))
        for name, records in (("large", 619_326), ("small", 33))
    ]
    assert summary(costs).splitlines()[2:] == [
        "| small | 33 | 10 | 7.2 | 812 | 100 |",
        "| large | 619,326 | 10 | 7.2 | 812 | 100 |",
    ]
