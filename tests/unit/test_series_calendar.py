"""The calendar of series: values that are usual at another time of the week are anomalies, in local time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from detector.core.blob import digest
from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.artifact import SeriesArtifact, dump_series, load_series
from detector.series.calendar_choice import _candidates
from detector.series.clock import Clock, day_numbers, make_clock
from schemas.errors import ConfigError
from schemas.frames import Features

HOURS = 24 * 7 * 8
TRAINED = 24 * 7 * 6


def site(seed=0, hours=HOURS):
    """Return hourly requests of a site that is busy on working days from 6 to 20 h, and noise."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2026-03-02", periods=hours, freq="h").to_numpy()  # from a Monday on
    hour, day = np.arange(hours) % 24, np.arange(hours) // 24 % 7
    busy = ((hour >= 6) & (hour < 20) & (day < 5)).astype(float)
    return Series(times, np.column_stack([100 * busy + 5 * rng.standard_normal(hours), rng.standard_normal(hours)]))


def fitted(**settings):
    records = site()
    training = Series(records.times[:TRAINED], records.values[:TRAINED])
    return SeriesModel.fit({"site": training}, SeriesSettings(network=False, **settings))


@pytest.fixture(scope="module")
def model():
    return fitted()


def with_sunday_on_a_wednesday():
    records = site()
    wednesday, sunday = TRAINED + 24 * 9, TRAINED + 24 * 6
    values = records.values.copy()
    values[wednesday : wednesday + 24] = values[sunday : sunday + 24]
    return Series(records.times, values), slice(wednesday + 6, wednesday + 20)


def test_a_sunday_on_a_wednesday_is_flagged_only_with_a_calendar(model):
    records, fault = with_sunday_on_a_wednesday()
    shares = []
    for of_site in (model, fitted(calendar=False)):
        limit = np.quantile(of_site.reference("site"), 0.99)
        shares.append((of_site.scores("site", records)[fault] > limit).mean())
    assert shares[0] > 0.9
    assert shares[1] < 0.2


def test_only_channels_whose_held_back_records_follow_the_calendar_take_part(model):
    assert model.entities["site"].inputs.calendar.is_used.tolist() == [1, 0]
    assert fitted(calendar=True).entities["site"].inputs.calendar.is_used.tolist() == [1, 1]


def test_expected_values_and_causes_follow_the_calendar(model):
    records, fault = with_sunday_on_a_wednesday()
    causes = model.causes("site", records)
    assert causes.expected[fault][0, 0] > 80  # the past alone, a quiet night, expects a quiet morning
    assert (np.abs(causes.deviation[fault]).argmax(axis=1) == 0).all()


def test_a_listed_holiday_is_expected_to_be_a_sunday():
    records, fault = with_sunday_on_a_wednesday()
    day = str(records.times[fault][0].astype("datetime64[D]"))
    model = fitted(holidays=(day,))
    assert (model.scores("site", records)[fault] <= np.quantile(model.reference("site"), 0.99)).mean() > 0.9


def test_slots_are_those_of_the_local_clock_across_a_change_of_its_offset():
    clock = Clock("Europe/Berlin", 24, day_numbers(["2026-04-03"]))
    times = np.array(["2026-03-28T05:30", "2026-03-29T05:30", "2026-04-03T05:30", "NaT"], dtype="datetime64[ns]")
    places = clock.places(times)
    assert places.slot.tolist() == [
        5 * 24 + 6,
        6 * 24 + 7,
        6 * 24 + 7,
        0,
    ]  # a Saturday, a Sunday, a holiday on a Friday
    assert places.month_day.tolist() == [27, 28, 2, 0]
    assert places.is_weekend.tolist() == [1, 1, 1, 0]


def test_scores_are_the_same_after_storage_and_wherever_a_series_is_cut(model):
    records, _ = with_sunday_on_a_wednesday()
    blob = dump_series(SeriesArtifact(Features(("requests", "noise")), model, 0.01, {"site": TRAINED}, {}))
    loaded = load_series(blob, digest(blob)).model
    whole, first = model.scores("site", records), len(records) - 30 - model.context_rows
    part = Series(records.times[first:], records.values[first:])
    np.testing.assert_array_equal(loaded.scores("site", part)[-30:], whole[-30:])


def test_daily_records_follow_weekdays_and_the_day_of_the_month():
    rng, days = np.random.default_rng(0), 720
    times = pd.date_range("2025-01-01", periods=days, freq="D")
    orders = 900 * np.where(times.day_of_week < 5, 1, 0.6) + 600 * (times.day == 1) + 20 * rng.standard_normal(days)
    model = SeriesModel.fit(
        {"shop": Series(times.to_numpy(), np.asarray(orders)[:, None])}, SeriesSettings(network=False)
    )
    usual = model.entities["shop"].inputs.calendar
    assert usual.month[0, 0] == usual.month.max() > 1
    assert usual.centre[2, 0] > usual.centre[6, 0] + 1


def test_a_demanded_calendar_needs_records_of_a_day():
    with pytest.raises(ConfigError, match="calendar = true needs records of more than a day"):
        SeriesModel.fit(
            {"site": Series(np.arange(100), np.zeros((100, 1)))}, SeriesSettings(calendar=True, network=False)
        )


@pytest.mark.parametrize(
    ("start", "days", "poolings"),
    [
        ("2026-03-07", 1.9, 0),
        ("2026-03-07", 3, 1),
        ("2026-03-02", 4, 0),
        ("2026-03-02", 13.9, 1),
        ("2026-03-02", 14, 3),
    ],
)
def test_a_day_and_a_week_need_two_periods_each_and_a_day_weekends_too(start, days, poolings):
    times = np.datetime64(start, "s") + np.arange(round(24 * days)) * np.timedelta64(3600, "s")
    clock = make_clock([times], "UTC", ())
    assert len(list(_candidates(clock, times, is_required=False))) == poolings


def test_a_single_record_before_a_gap_does_not_hide_the_calendar():
    records = site()
    times = records.times[:TRAINED].copy()
    times[0] -= np.timedelta64(30, "D")
    settings = SeriesSettings(network=False, max_gap=86_400.0)
    model = SeriesModel.fit({"site": Series(times, records.values[:TRAINED])}, settings)
    calendar = model.entities["site"].inputs.calendar
    assert (calendar.clock.day_slots, calendar.is_used.tolist()) == (24, [1, 0])


def test_a_state_at_a_time_at_which_it_was_never_seen_deviates_by_four():
    times = np.datetime64("2026-01-05") + np.arange(28 * 96) * np.timedelta64(15, "m")
    is_open = (np.arange(len(times)) % 96 // 4 == 8).astype(float)
    values = np.stack([np.random.default_rng(0).normal(size=len(times)), is_open], axis=1)
    model = SeriesModel.fit({"valve": Series(times, values)}, SeriesSettings(network=False))
    inputs = model.entities["valve"].inputs
    values[40, 1] = 1.0
    deviation = inputs.cells(Series(times, values)).deviation[:, 1]
    assert inputs.calendar.is_used[1] == 1
    assert deviation[40] == pytest.approx(4, abs=0.1)
    assert abs(deviation[32]) < 0.5


def test_a_working_day_like_a_sunday_is_a_glitch_to_later_records():
    rng = np.random.default_rng(0)
    times = np.datetime64("2026-01-05") + np.arange(400) * np.timedelta64(1, "D")
    usual = np.where(np.arange(400) % 7 < 5, 100.0, 50.0)[:, None]
    values = usual * (1 + 0.05 * rng.standard_normal((400, 1)))
    model = SeriesModel.fit({"shop": Series(times[:350], values[:350])}, SeriesSettings(network=False))
    inputs = model.entities["shop"].inputs
    values[371] = 50.0  # a Tuesday
    cells = inputs.cells(Series(times, values))
    assert np.flatnonzero((cells.kept != cells.z)[:, 0]).tolist() == [371]
    assert abs(inputs.channels.values(cells.kept)[371, 0] - 100) < 10
    calendar = replace(inputs.calendar, largest_move=None)
    older = replace(inputs, calendar=calendar).cells(Series(times, values))
    np.testing.assert_array_equal(older.kept, older.z)


def test_days_of_a_month_are_counted_from_both_of_its_ends():
    times = np.array(["2026-02-01", "2026-02-15", "2026-02-16", "2026-02-28", "2026-03-31"], dtype="datetime64[s]")
    assert Clock("UTC", 1, day_numbers([])).places(times).end_day.tolist() == [0, 14, 18, 30, 30]


def test_daily_records_follow_the_last_working_days_of_the_month():
    rng, days = np.random.default_rng(0), 720
    times = pd.date_range("2025-01-01", periods=days, freq="D")
    is_end = (times.days_in_month - times.day < 3) & (times.day_of_week < 5)
    jobs = 800 * np.where(times.day_of_week < 5, 1, 0.2) + 700 * is_end + 20 * rng.standard_normal(days)
    series = Series(times.to_numpy(), np.asarray(jobs)[:, None])
    inputs = SeriesModel.fit({"bank": series}, SeriesSettings(network=False)).entities["bank"].inputs
    expected = inputs.channels.values(inputs.calendar.expected(series.times).z)[:, 0]
    assert np.abs(expected - jobs)[400:].max() < 200  # an end on a weekend, in a month of any length


def two_shifts(days):
    """Return two-hourly records of a machine that works early in one week and late in the next, and their hours."""
    times = np.datetime64("2026-01-05", "s") + np.arange(12 * days) * np.timedelta64(2, "h")
    hour, week = np.arange(12 * days) * 2 % 24, np.arange(12 * days) // 84
    is_on = (hour >= np.where(week % 2, 14, 6)) & (hour < np.where(week % 2, 22, 14))
    return Series(times, (10 + 40 * is_on + np.random.default_rng(0).standard_normal(12 * days))[:, None])


def test_weeks_that_alternate_have_a_course_of_two_weeks():
    records = two_shifts(84)
    model = SeriesModel.fit({"saw": Series(records.times[:672], records.values[:672])}, SeriesSettings(network=False))
    dead = slice(672 + 87, 672 + 91)  # from 6 to 14 h of an early week
    values = records.values.copy()
    values[672 + 84 * 0 + 3 : 672 + 7] = 10  # the first Monday after training, of an early week
    limit = np.quantile(model.reference("saw"), 0.99)
    scores = model.scores("saw", Series(records.times, values))
    assert model.entities["saw"].inputs.calendar.clock.weeks == 2
    assert (scores[675:679] > limit).all()
    assert (scores[dead] <= limit).all()  # a late week does not work then


def pool(days=400):
    """Return six-hourly flows of a pool that is busy at noon, in summer more than in winter."""
    times = np.datetime64("2025-01-06", "s") + np.arange(4 * days) * np.timedelta64(6, "h")
    season = 1 - 0.8 * np.cos(2 * np.pi * np.arange(4 * days) / (4 * 365))
    flow = 10 + 50 * season * np.isin(np.arange(4 * days) % 4, [2, 3])
    return Series(times, (flow + 2 * np.random.default_rng(0).standard_normal(4 * days))[:, None])


@pytest.fixture(scope="module")
def moving():
    records = pool()
    return SeriesModel.fit({"pool": Series(records.times[:1460], records.values[:1460])}, SeriesSettings(network=False))


def test_usual_values_move_with_the_season(moving):
    records, inputs = pool(), moving.entities["pool"].inputs
    assert inputs.calendar.is_moving.tolist() == [1]
    expected = inputs.channels.values(inputs.cells(records).usual.z)[:, 0]
    error = np.abs(expected - records.values[:, 0])
    assert error[60:].max() < 16
    assert moving.context_rows - fitted_without_season().context_rows == 15 * 4 + 3


def fitted_without_season():
    records = two_shifts(28)
    return SeriesModel.fit({"saw": records}, SeriesSettings(network=False))


def test_scores_of_a_moving_calendar_are_the_same_after_storage_and_wherever_a_series_is_cut(moving):
    records = pool()
    blob = dump_series(SeriesArtifact(Features(("flow",)), moving, 0.01, {"pool": 1460}, {}))
    loaded = load_series(blob, digest(blob)).model
    whole, first = moving.scores("pool", records), len(records) - 30 - moving.context_rows
    part = Series(records.times[first:], records.values[first:])
    np.testing.assert_array_equal(loaded.scores("pool", part)[-30:], whole[-30:])
