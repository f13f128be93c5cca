import struct
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from jobs.demo.pictures import TrainingCurve, draw_score_picture, draw_timeline_picture
from jobs.demo.pictures.style import FLAGGED, KNOWN, LIGHT, SKY
from schemas.errors import UsageError
from tests.timeline import make_timeline

CURVE = TrainingCurve(epochs=(1, 2, 3), training_elbo=(-9.0, -5.0, -4.0), held_out_elbo=(-9.5, -6.0, -5.5))
OVERVIEW, PANELS = slice(0, 600), slice(700, 1650)  # rows of the picture of a timeline, above its legend


def scored(count, *, label=False):
    scores = np.random.default_rng(0).lognormal(sigma=1.5, size=count)
    return pd.DataFrame({"anomaly_score": scores, "is_anomaly": scores > 8, "label": label})


def draw(path, records, title="Monitor cells"):
    draw_score_picture(path, title, records, 8.0, CURVE, false_positive_rate=0.01)
    return matplotlib.image.imread(path)


def draw_timeline(path, timeline, title="Monitor pump"):
    draw_timeline_picture(path, title, timeline)
    return matplotlib.image.imread(path)


def has_colour(image, colour):
    return pixels(image, colour) > 0


def pixels(image, colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return int((np.abs(image[..., :3] - channels) < 0.02).all(axis=-1).sum())


def size_of(path):
    header = path.read_bytes()[:24]
    assert header[:4] == b"\x89PNG"
    return struct.unpack(">II", header[16:])


def test_the_picture_of_scores_is_a_png_of_1600_by_900(tmp_path):
    draw(tmp_path / "p.png", scored(50))
    assert size_of(tmp_path / "p.png") == (1600, 900)


def test_flagged_records_and_known_anomalies_have_separate_colours(tmp_path):
    image = draw(tmp_path / "p.png", scored(300, label=[True, False, False] * 100))
    assert has_colour(image, FLAGGED)
    assert has_colour(image, KNOWN)
    assert not has_colour(draw(tmp_path / "q.png", scored(300)), KNOWN)


@pytest.mark.parametrize(
    "records",
    [scored(1), scored(40).assign(anomaly_score=-3.0), scored(40).assign(is_anomaly=False), scored(40, label=True)],
    ids=["one record", "negative scores", "nothing flagged", "all known"],
)
def test_unusual_records_are_drawn(tmp_path, records):
    assert draw(tmp_path / "p.png", records, title="100 % of $x_ and €").shape == (900, 1600, 4)


def test_the_picture_of_a_timeline_is_a_png_of_1600_by_1800(tmp_path):
    draw_timeline(tmp_path / "p.png", make_timeline(), title="100 % of $x_ and €")
    assert size_of(tmp_path / "p.png") == (1600, 1800)


def test_a_timeline_shows_measured_injected_and_flagged(tmp_path):
    image = draw_timeline(tmp_path / "p.png", make_timeline())
    assert all(has_colour(image, colour) for colour in (SKY, KNOWN, FLAGGED))
    apart = draw_timeline(tmp_path / "q.png", make_timeline(incidents=()))
    assert all(has_colour(part, FLAGGED) for part in (apart[OVERVIEW], apart[PANELS]))  # each flagged record
    quiet = draw_timeline(tmp_path / "r.png", make_timeline(flagged=[], incidents=()))
    assert has_colour(quiet, KNOWN)
    assert not has_colour(quiet[OVERVIEW], FLAGGED)
    assert not has_colour(quiet[PANELS], FLAGGED)


def test_a_gap_between_records_is_hatched_and_interrupts_the_lines(tmp_path):
    image = draw_timeline(tmp_path / "p.png", make_timeline())
    whole = make_timeline()
    whole.records["time"] = whole.records["time"].iloc[0] + pd.timedelta_range(0, periods=134, freq="5min")
    without = draw_timeline(tmp_path / "q.png", whole)
    for part in (OVERVIEW, PANELS):
        assert pixels(image[part], LIGHT) > pixels(without[part], LIGHT) + 5_000
    assert pixels(image, SKY) < pixels(without, SKY)


def test_the_same_records_make_the_same_file(tmp_path):
    for name in "ab":
        draw(tmp_path / f"{name}.png", scored(200))
        draw_timeline(tmp_path / f"{name}{name}.png", make_timeline())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "aa.png").read_bytes() == (tmp_path / "bb.png").read_bytes()


def test_a_picture_that_cannot_be_drawn_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no scored records to draw"):
        draw(tmp_path / "p.png", scored(0))
    with pytest.raises(UsageError, match=r"p.png cannot be written: No such file or directory"):
        draw(tmp_path / "nowhere" / "p.png", scored(5))


def test_matplotlib_is_loaded_only_to_draw():
    code = "import sys, jobs.demo.pictures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
