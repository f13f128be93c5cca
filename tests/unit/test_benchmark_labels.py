"""The benchmark of labels counts look-alikes among later records, and means over tables."""

import numpy as np
import pandas as pd

from benchmarks.labels import Measured, main, normal_records, shares, summary
from schemas.frames import Cause, Explanation


def explanation(flow):
    causes = [Cause(name, share=1.0, deviation=flow, value=1.0, expected=0.0) for name in ("flow", "temp")]
    return Explanation(tuple(causes))


def test_later_false_alarms_like_labelled_ones_are_quiet_and_an_anomaly_of_another_direction_is_not():
    alarms = [explanation(flow) for flow in (5.0, 5.0, 5.0, 5.0, 5.0, 5.1, 50.0, -5.0, 4.9)]
    is_anomaly = np.array([False] * 7 + [True] * 2)
    assert shares(alarms, is_anomaly, np.arange(9), radius=0.2) == (0.5, 0.5)
    assert shares(alarms[:7], is_anomaly[:7], np.arange(7), radius=0.2) is None


def test_calibration_records_are_a_random_draw_which_may_be_neighbours_of_others():
    normal = normal_records(pd.DataFrame({"flow": np.arange(100.0)}))
    assert normal.is_drawn
    assert len(normal.calibration) == 20
    assert set(normal.calibration.index).isdisjoint(normal.training.index)
    assert normal.calibration.index.min() < 50


def test_the_summary_means_over_the_tables_that_were_measured():
    measured = [
        Measured("a", 1.0, 0.5, 0.6, 0.5, 0.2, 0.0),
        Measured("b", 0.0, 0.3, 0.3, 0.3),
        Measured("too small"),
    ]
    lines = summary(measured).splitlines()
    assert lines[0] == "2 tables, average precision 0.400 without labels; used on 50%."
    assert lines[4:6] == [
        "| ten labels | +0.050 | 50% | 0% | +0.000 | 1 |",
        "| one of them wrong | +0.000 | 0% | 0% | +0.000 | 1 |",
    ]
    assert lines[7].startswith("Look-alikes on 1 tables: quieted 20.0%")


def test_the_summary_of_tables_that_are_all_too_small_states_what_they_need():
    assert summary([Measured("too small")]).startswith("No numeric table has 20 anomalies")
    assert "Look-alikes on 0 tables" in summary([Measured("a", 1.0, 0.5, 0.6, 0.5)])


def test_a_missing_folder_is_refused(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "out.csv")]) == 2
    assert "There is no table" in capsys.readouterr().err
