import re
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree as ET

import matplotlib.image
import numpy as np
import pytest

from jobs.pictures import DARK, LIGHT, Canvas, draw_daily_rates, draw_overview, draw_view, inline_svg, rendered, save
from jobs.pictures.values import (
    Annotation,
    Case,
    Channel,
    DailyRates,
    Distribution,
    Mark,
    Overview,
    Scores,
    Span,
    TrainingCurve,
    View,
)
from schemas.errors import UsageError

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
HOSTILE = "<script>alert(1)</script> $x_$ & \x1b[2J \u202e是"
SVG = "{http://www.w3.org/2000/svg}"


def channel(measured, **changes):
    expected = np.full(len(measured), 5.0)
    limits = {"expected": expected.tolist(), "low": (expected - 1).tolist(), "high": (expected + 1).tolist()}
    return Channel(**({"name": "flow", "measured": list(measured), "unit": "m³/h"} | limits | changes))


def series_view(records=120, flagged=(50,), spike=0.0, **changes):
    measured = 5 + 0.5 * np.sin(np.arange(records) / 9)
    measured[list(flagged)] += spike
    scores = Scores(
        times=[START + row * STEP for row in range(records)],
        scores=np.where(np.isin(np.arange(records), flagged), 2.0, 0.5).tolist(),
        thresholds=[1.0] * records,
        is_flagged=np.isin(np.arange(records), flagged).tolist(),
    )
    values = {"monitor": "pump", "entity": "a", "model_id": 1, "scores": scores, "channels": (channel(measured),)}
    return View(**(values | {"gap": 5 * STEP} | changes))


def record_view(records=60, **changes):
    values = np.linspace(0.1, 9, records)
    scores = Scores(None, values.tolist(), [8.0] * records, (values > 8).tolist())
    numbers = Distribution("size", np.linspace(0, 1, records).tolist(), [Mark(4.0, 0.5), Mark(None, 0.4)])
    texts = Distribution("mode", ["low", "high", None] * 20, [Mark("odd", "low")], is_number=False)
    values = {"monitor": "cells", "entity": None, "model_id": 1, "scores": scores, "distributions": (numbers, texts)}
    return View(**(values | changes))


def drawn(path, view, **options):
    save(draw_view(view, Canvas(800), **options), path)
    return matplotlib.image.imread(path)


def pixels(image, colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return int((np.abs(image[..., :3] - channels) < 0.02).all(axis=-1).sum())


def test_a_picture_has_the_width_of_its_canvas(tmp_path):
    drawn(tmp_path / "p.png", series_view())
    header = (tmp_path / "p.png").read_bytes()[:24]
    assert struct.unpack(">II", header[16:])[0] == 800


def test_a_channel_shows_measured_values_their_band_and_flagged_records(tmp_path):
    image = drawn(tmp_path / "p.png", series_view())
    assert all(pixels(image, colour) for colour in (LIGHT.measured, LIGHT.band, LIGHT.ink, LIGHT.flagged))
    assert not pixels(drawn(tmp_path / "q.png", series_view(flagged=())), LIGHT.flagged)


def test_a_value_outside_the_band_is_marked_whether_it_is_flagged_or_not(tmp_path):
    view = series_view(flagged=(50, 51, 52), spike=3.0)
    quiet = replace(view, scores=replace(view.scores, is_flagged=[False] * 120))
    inside = replace(quiet, channels=(replace(quiet.channels[0], high=[9.0] * 120),))
    marked, unmarked = (pixels(drawn(tmp_path / "p.png", shown), LIGHT.flagged) for shown in (quiet, inside))
    assert marked > 50
    assert not unmarked


def test_incidents_and_gaps_are_marked(tmp_path):
    view = series_view()
    times = [time + (timedelta(hours=2) if row >= 60 else timedelta(0)) for row, time in enumerate(view.scores.times)]
    gap = replace(view, scores=replace(view.scores, times=times))
    plain, marked = drawn(tmp_path / "p.png", replace(gap, gap=None)), drawn(tmp_path / "q.png", gap)
    assert pixels(marked, LIGHT.hatch) > pixels(plain, LIGHT.hatch) + 1_000
    incident = replace(view, incidents=(Span("1", START + 20 * STEP, START + 50 * STEP),))
    assert pixels(drawn(tmp_path / "r.png", incident), LIGHT.incident) > 5_000


@pytest.mark.parametrize(
    ("kind", "colour"), [("maintenance", "muted"), ("model", "ink"), ("label", "ink"), ("known", "known")]
)
def test_annotations_are_drawn_and_move_no_axis(tmp_path, kind, colour):
    view = series_view()
    item = Annotation(kind, "x", START - 9 * STEP, START + (-9 if kind == "model" else 40) * STEP)
    shown = replace(view, annotations=(item, replace(item, start=START + 9 * STEP, end=START + 30 * STEP)))
    image, plain = (drawn(tmp_path / "p.png", each) for each in (shown, view))
    assert pixels(image, getattr(LIGHT, colour)) > pixels(plain, getattr(LIGHT, colour)) + 50
    limits = {draw_view(each, Canvas()).axes[0].get_xlim() for each in (shown, view)}
    assert len(limits) == 1


def test_flagged_and_known_anomalies_of_single_records_are_told_apart_by_colour(tmp_path):
    view = record_view()
    known = replace(view, scores=replace(view.scores, is_known=[True] + [False] * 59))
    image = drawn(tmp_path / "p.png", known)
    assert pixels(image, LIGHT.flagged)
    assert pixels(image, LIGHT.known)
    assert not pixels(drawn(tmp_path / "q.png", view), LIGHT.known)


def test_a_flagged_value_far_from_all_others_is_an_arrow_with_its_number():
    far = Distribution("amount", np.linspace(10, 90, 60).tolist(), [Mark(9999.99, 50.0), Mark(120.0, 50.0)])
    root = ET.fromstring(rendered(draw_view(record_view(distributions=(far,)), Canvas()), "svg"))
    texts = {element.text for element in root.iter(f"{SVG}text")}
    assert "9,999.99" in texts
    assert "120" not in texts


def test_the_training_curve_stands_next_to_the_scores(tmp_path):
    curve = TrainingCurve(epochs=(1, 2, 3), training_elbo=(-9.0, -5.0, -4.0), held_out_elbo=(-9.5, None, -5.5))
    figure = draw_view(record_view(), Canvas(1200), heading="Monitor cells", training=curve)
    assert b"ELBO per record" in rendered(figure, "svg")


@pytest.mark.parametrize(
    "view",
    [
        series_view(1, flagged=()),
        series_view(channels=(channel([None] * 120),)),
        series_view(channels=(channel([None, *[3e300] * 119]),)),
        series_view(channels=(channel([0.0, 1.0] * 60, is_truth=True),)),
        series_view(scores=replace(series_view().scores, scores=[None] * 120, thresholds=[None] * 120)),
        record_view(1),
        record_view(distributions=()),
        record_view(distributions=(Distribution("size", [None] * 60, [Mark(None)]),)),
        record_view(distributions=(Distribution("size", [1.0] * 60, [Mark(1.0, 1.0)] * 30),)),
        record_view(distributions=(Distribution("mode", [str(n) for n in range(60)], [], is_number=False),)),
        record_view(scores=Scores(None, [-3.0] * 60, [None] * 60, [False] * 60)),
    ],
    ids=[
        "one record",
        "no value",
        "huge values",
        "truth values",
        "no scores",
        "one record without time",
        "no distribution",
        "only nulls",
        "a constant with many flags",
        "many categories",
        "negative scores",
    ],
)
def test_unusual_records_are_drawn(view):
    assert rendered(draw_view(view, Canvas(380), heading="100 % of $x_ and €"), "png").startswith(b"\x89PNG")


def test_each_label_is_once_in_the_legend():
    view = series_view(flagged=(5, 50), channels=(channel(np.full(120, 5.0)), channel(np.full(120, 5.0), name="power")))
    texts = [element.text for element in ET.fromstring(rendered(draw_view(view, Canvas()), "svg")).iter(f"{SVG}text")]
    assert all(texts.count(label) == 1 for label in ("measured", "expected", "normal band", "flagged record"))


def test_names_and_units_of_channels_and_whole_dates_are_readable():
    texts = rendered(draw_view(series_view(400), Canvas()), "svg").decode()
    assert "flow (m³/h)" in texts
    assert "1 Mar to 2 Mar 2026, UTC" in texts


def test_the_same_view_makes_the_same_file():
    for view, format_ in ((series_view(), "png"), (record_view(), "svg")):
        assert len({rendered(draw_view(view, Canvas()), format_) for _ in range(2)}) == 1


def test_hostile_texts_stay_texts_in_svg():
    view = series_view(channels=(channel(np.full(120, 5.0), name=HOSTILE, unit="<b>"),))
    standalone = rendered(draw_view(view, Canvas(), heading=HOSTILE), "svg").decode()
    for text in (standalone, inline_svg(draw_view(view, Canvas(), heading=HOSTILE), "p1")):
        root = ET.fromstring(text[text.index("<svg") :])
        assert not {element.tag for element in root.iter()} & {"script", f"{SVG}script", "b", f"{SVG}b"}
        shown = "".join(element.text or "" for element in root.iter(f"{SVG}text"))
        assert r"<script>alert(1)</script> $x_$ & \x1b[2J \u202e是" in shown


def test_an_inline_picture_takes_its_colours_from_the_page_and_refers_to_nothing_else():
    text = inline_svg(draw_view(series_view(), Canvas()), "p1")
    assert not any(colour in text for colour in vars(LIGHT).values())
    assert "var(--measured)" in text
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", text)
    assert "<style" not in text
    identifiers = set(re.findall(r'\bid="([^"]*)"', text))
    assert all(name.startswith("p1-") for name in identifiers)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', text)) <= identifiers


def test_both_themes_have_readable_contrast():
    def luminance(colour):
        channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(one, other):
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for theme in (LIGHT, DARK):
        assert contrast(theme.ink, theme.paper) > 7
        assert contrast(theme.muted, theme.paper) > 4.5
        assert all(contrast(colour, theme.paper) > 3 for colour in (theme.measured, theme.flagged, theme.known))


@pytest.mark.parametrize("days", [1, 30])
def test_flagged_records_by_day_are_drawn_with_the_configured_rate(days):
    rates = DailyRates([date(2026, 3, 1) + timedelta(days=day) for day in range(days)], [100] * days, [3] * days, 0.01)
    assert "configured rate" in rendered(draw_daily_rates(rates, Canvas()), "svg").decode()
    assert "configured rate" not in rendered(draw_daily_rates(replace(rates, rate=None), Canvas()), "svg").decode()


def test_an_overview_has_a_row_for_each_entity_and_a_panel_for_each_event():
    view, event = (
        series_view(incidents=(Span("1", START + 40 * STEP, START + 52 * STEP),)),
        Span("leak", START, START + STEP),
    )
    cases = [Case(event, "Leak, a", "flow ↓ 3.0 sd", view), Case(event, "Gap, b", "", replace(view, incidents=()))]
    overview = Overview({"a": view.scores, "b": view.scores}, {"a": [event]}, cases, 5 * STEP)
    texts = rendered(draw_overview(overview, Canvas(1600), "Monitor pump"), "svg").decode()
    assert all(text in texts for text in ("Leak, a", "Gap, b", "nothing flagged", "1 incident", "injected event"))


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="ends in .png or .svg"):
        save(draw_view(series_view(), Canvas()), tmp_path / "p.jpg")
    with pytest.raises(UsageError, match=r"p.png cannot be written: No such file or directory"):
        save(draw_view(series_view(), Canvas()), tmp_path / "nowhere" / "p.png")


def test_matplotlib_is_loaded_only_to_draw():
    code = "import sys, jobs.pictures, jobs.reporting.views; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
