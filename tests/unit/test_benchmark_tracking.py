"""The benchmark of tracked thresholds: its streams fit their names, and its measures count correctly."""

import numpy as np
import pytest

from benchmarks.series.events import count_events
from benchmarks.tracking import KINDS, RATE, Size, Stream, draw, main, plain, table_row
from detector.core.threshold_tracking import USUAL_AFTER


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_has_a_quiet_start_and_incidents_that_stand_out(kind):
    stream = draw(kind, np.random.default_rng(0), Size.of(RATE))
    assert (len(stream.reference), len(stream.scores)) == (1_000, 12_000)
    assert 1 <= count_events(stream.is_incident) <= 8
    assert stream.scores[stream.is_incident].mean() > stream.scores[~stream.is_incident].mean() + 0.5


def test_rates_incidents_and_their_records_are_counted():
    incident = np.arange(200) >= 180
    flagged = (np.arange(200) < 2) | (np.arange(200) >= 190)  # 2 of 180, and half of the incident
    stream = Stream(np.zeros(100), np.zeros(200), incident)
    assert table_row(lambda _reference, _scores, _rate: flagged, [stream], RATE) == [
        *["1.11%", "100%", "1.11%", "100%", "1.11%"],
        *["100%", "50%", "100%"],
    ]


def test_settled_records_are_those_before_a_shift_and_long_after_it():
    stream = Stream(np.zeros(9), np.zeros(1000), np.zeros(1000, dtype=bool), shift=500)
    assert np.flatnonzero(~stream.is_settled).tolist() == list(range(500, 500 + USUAL_AFTER))
    assert Stream(np.zeros(9), np.zeros(9), np.zeros(9, dtype=bool)).is_settled.all()


def test_plain_tracking_moves_by_its_step_and_by_the_rate_of_it():
    reference = np.arange(0.0, 101)  # its step of 1 is 49
    assert plain(1.0)(reference, np.array([100.0, 147.0, 149.0]), RATE).tolist() == [True, False, True]


def test_the_table_names_every_threshold(capsys):
    assert main(["--streams", "1", "--rate", "0.05"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "ours",
        "plain, step 0.05",
        "plain, step 0.2",
        "plain, step 1",
        "fixed",
    ]
