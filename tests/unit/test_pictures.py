import struct
import subprocess
import sys

import matplotlib.dates as mdates
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from jobs.demo import pictures
from jobs.demo.pictures import TrainingCurve, score_picture
from schemas.errors import UsageError

CURVE = TrainingCurve(epochs=(1, 2, 3), training_elbo=(-9.0, -5.0, -4.0), held_out_elbo=(-9.5, -6.0, -5.5))


def scored(count, **columns):
    scores = np.random.default_rng(0).lognormal(sigma=1.5, size=count)
    return pd.DataFrame({"anomaly_score": scores, "is_anomaly": scores > 8, **columns})


def draw(path, records, title="Monitor pump"):
    score_picture(path, title, records, 8.0, CURVE, false_positive_rate=0.01)
    return matplotlib.image.imread(path)


def has_colour(image, colour):
    wanted = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return bool((np.abs(image[..., :3] - wanted) < 0.02).all(axis=-1).any())


def times(count):
    return pd.date_range("2026-01-05", periods=count, freq="2min", tz="UTC")


def test_a_picture_is_a_png_of_1600_by_900(tmp_path):
    draw(tmp_path / "p.png", scored(50))
    header = (tmp_path / "p.png").read_bytes()[:24]
    assert header[:4] == b"\x89PNG"
    assert struct.unpack(">II", header[16:]) == (1600, 900)


def test_flagged_records_and_known_anomalies_have_colours_of_their_own(tmp_path):
    label = [True, None, False] * 100
    image = draw(tmp_path / "p.png", scored(300, label=label))
    assert has_colour(image, pictures._FLAGGED)
    assert has_colour(image, pictures._KNOWN)
    without = draw(tmp_path / "q.png", scored(300))
    assert not has_colour(without, pictures._KNOWN)


@pytest.mark.parametrize("entities", [1, 8, 9, 300])
def test_entities_have_colours_while_they_can_be_told_apart(tmp_path, entities):
    records = scored(900, time=times(900), entity=[f"pump-{i % entities}" for i in range(900)])
    image = draw(tmp_path / "p.png", records)
    coloured = sum(has_colour(image, colour) for colour in pictures._PALETTE[1:4])
    assert coloured == (3 if entities == 8 else 0)


def test_thinning_keeps_flagged_records_and_the_highest_of_each_stretch():
    records = pictures._prepared(scored(50_000, time=times(50_000), entity=["a", "b"] * 25_000))
    thinned = pictures._thinned(records)
    assert len(thinned) < 10_000
    assert thinned["is_flagged"].sum() == records["is_flagged"].sum()
    stretches = np.arange(50_000) * 600 // 50_000
    peaks = records["score"].groupby(stretches).max()
    assert peaks.isin(thinned["score"]).all()


def test_known_anomalies_close_in_time_are_shaded_as_one_stretch():
    every = pd.Series(times(1000))
    axes = Figure().subplots()
    pictures._shade(axes, every[[100, 101, 105, 500, 502]], every)
    edges = [mdates.num2date(edge) for patch in axes.patches for edge in (patch.get_x(), patch.get_corners()[2][0])]
    assert [edge.replace(microsecond=0) for edge in edges] == every[[100, 105, 500, 502]].tolist()


def test_known_anomalies_are_shaded_where_there_are_times(tmp_path):
    shaded = draw(tmp_path / "p.png", scored(300, time=times(300), label=[0] * 150 + [1] * 150))
    assert has_colour(shaded, "#f4e5ed")


def test_a_small_table_is_drawn_whole():
    records = pictures._prepared(scored(500))
    assert pictures._thinned(records).equals(records)


@pytest.mark.parametrize(
    "records",
    [
        scored(1),
        scored(40).assign(anomaly_score=-3.0),
        scored(40).assign(is_anomaly=False, label=0),
        scored(40, time=times(40), label=[1] * 40),
        scored(40, time=times(40).tz_localize(None)),
        scored(40, entity=["$\\frac$", "_hidden", "", "x" * 200] * 10),
    ],
    ids=["one record", "negative scores", "nothing flagged", "all known", "naive times", "hostile names"],
)
def test_unusual_records_are_drawn_too(tmp_path, records):
    assert draw(tmp_path / "p.png", records, title="100 % of $x_ and €").shape == (900, 1600, 4)


def test_the_same_records_make_the_same_file(tmp_path):
    draw(tmp_path / "a.png", scored(200))
    draw(tmp_path / "b.png", scored(200))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_cannot_be_drawn_is_told(tmp_path):
    with pytest.raises(UsageError, match="no scored records to draw"):
        draw(tmp_path / "p.png", scored(0))
    with pytest.raises(UsageError, match=r"p.png cannot be written: No such file or directory"):
        draw(tmp_path / "nowhere" / "p.png", scored(5))


def test_matplotlib_is_loaded_only_to_draw():
    code = "import sys, jobs.demo.pictures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
