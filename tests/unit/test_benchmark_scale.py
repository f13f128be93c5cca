"""The arithmetic behind the figures of several workers."""

import pytest

from benchmarks.scale import Rate, Sample, _parser, _report, steady, times_between


def test_efficiency_compares_several_workers_with_as_many_single_ones_of_the_same_turn():
    options = _parser().parse_args(["--repeats", "2", "--engines", "work"])
    single = [Rate(1, 1_000, 10.0, 5.0, 2.0), Rate(1, 1_000, 5.0, 5.0, 0.0)]
    double = [Rate(2, 1_000, 6.25, 6.25, 2.5), Rate(2, 1_000, 3.125, 6.25, 1.25)]
    text = _report(options, {("work", 1): single, ("work", 2): double}, planning=2e6)
    assert "| work | 1 | 150 | 162 | 200 | 0.75 |" in text
    assert "| work | 2 | 240 | 300 | 160 | 0.75 |" in text
    assert "| work | 0.80 | 0.90 | 0.80 |" in text
    assert "One planner enters 2,000,000 records/s" in text


def test_a_pass_counts_while_every_worker_has_batches_to_score():
    times = [(0, 0, 0), (1, 2, 0), (2, 4, 1), (4, 8, 3), (5, 9, 3.5), (6, 10, 3.5)]  # seconds, batches, second worker
    samples = [
        Sample(at, done, [{7: (float(at), 0.25 * at), 8: (0.0, 9.0 * at)}, {9: (float(cpu), 0.0)}])
        for at, done, cpu in times
    ]
    first, last = steady(samples, 10)
    assert (first.at, last.at) == (2, 4)
    assert times_between(first, last) == (4.0, 0.5)
    with pytest.raises(ValueError, match="Name more --rows"):
        steady(samples, 4)
