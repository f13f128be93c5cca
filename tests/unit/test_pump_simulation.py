"""The simulated pump station: pumps that follow pump laws, and the events injected into their readings."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from jobs.demo.events import (
    BEARING_WEAR,
    BLOCKED_INTAKE,
    BOOSTER,
    EVENTS,
    EVENTS_START,
    GAP,
    GLITCH,
    LEAK,
    MORE_LOAD,
    NO_START,
    STOPPED_METER,
    STUCK_METER,
    SURGE,
    WEEKEND,
)
from jobs.demo.pump_simulation import CHANNELS, DAYS, START, STEP, simulate_pump_station


@pytest.fixture(scope="module")
def readings():
    return simulate_pump_station()


@pytest.fixture(scope="module")
def usual(readings):
    """Return the readings of the first pump before the events."""
    is_usual = (readings["pump_id"] == "pump-1") & (readings["read_at"] < EVENTS_START)
    return readings[is_usual].set_index("read_at")


def event(name):
    return next(event for event in EVENTS if event.name == name)


def around(readings, name, hours=0.0):
    """Return the readings of an event's pump during the event and some hours before and after."""
    happened = event(name)
    margin = timedelta(hours=hours)
    is_then = readings["read_at"].between(happened.start - margin, happened.end + margin)
    return readings[is_then & (readings["pump_id"] == happened.pump)]


def test_the_seed_decides_the_readings(readings):
    pd.testing.assert_frame_equal(simulate_pump_station(), readings)
    assert not simulate_pump_station(seed=1)["flow_m3h"].equals(readings["flow_m3h"])


def test_keys_grow_with_time_and_hardly_a_record_is_lost(readings):
    assert readings["id"].tolist() == list(range(1, len(readings) + 1))
    assert readings["read_at"].is_monotonic_increasing
    assert str(readings["read_at"].dtype.tz) == "UTC"
    before = readings[readings["read_at"] < EVENTS_START]["pump_id"].value_counts()
    possible = (EVENTS_START - START) / STEP
    assert set(before.index) == {"pump-1", "pump-2", "pump-3", BOOSTER}
    assert (before / possible).between(0.997, 0.9999).all()
    assert readings["read_at"].max() == START + timedelta(days=DAYS) - STEP


def test_every_cell_has_a_value_but_for_the_event(readings):
    assert readings.drop(columns="event").notna().all(axis=None)
    assert readings["event"].isna().mean() > 0.9


def test_pressure_power_and_temperature_follow_the_flow(usual):
    assert usual["flow_m3h"].corr(usual["pressure_bar"]) > 0.9
    open_valve, closed = (usual[usual["valve_open"] == is_open] for is_open in (True, False))
    assert closed["flow_m3h"].corr(closed["power_kw"]) > 0.95
    assert open_valve["flow_m3h"].max() < closed["flow_m3h"].median()
    shifted = {lag: usual["power_kw"].shift(lag).corr(usual["bearing_c"]) for lag in (0, 12)}
    assert shifted[12] > shifted[0]


def test_demand_peaks_in_the_morning_and_in_the_evening_and_later_on_weekends(usual):
    by_hour = usual["flow_m3h"].groupby(usual.index.hour).mean()
    assert by_hour.idxmin() in range(1, 5)
    assert by_hour.loc[5:11].idxmax() in range(6, 10)
    assert by_hour.loc[16:22].idxmax() in range(18, 21)
    weekend = usual[usual.index.day_of_week >= 5]["flow_m3h"]
    assert weekend.groupby(weekend.index.hour).mean().loc[5:11].idxmax() in range(8, 11)


def test_no_event_starts_early_and_only_faults_are_labelled(readings):
    assert readings[readings["read_at"] < EVENTS_START]["event"].isna().all()
    labelled = set(readings[readings["is_fault"]]["event"])
    assert labelled == {event.name for event in EVENTS} - {MORE_LOAD, WEEKEND, GAP}
    for one in EVENTS:
        during = around(readings, one.name)
        assert (during["event"] == one.name).all()
        assert (during["is_fault"] == one.is_fault).all()


def test_events_of_a_pump_do_not_overlap():
    ends = {}
    for one in sorted(EVENTS, key=lambda event: event.start):
        assert one.start > ends.get(one.pump, EVENTS_START)
        ends[one.pump] = one.end


def test_the_stuck_meter_shows_one_value_while_the_power_moves(readings):
    stuck = around(readings, STUCK_METER)
    assert stuck["flow_m3h"].nunique() == 1
    assert np.ptp(stuck["power_kw"]) > 5
    assert (around(readings, STUCK_METER, hours=1)["flow_m3h"].diff() != 0).sum() > 20


def test_the_leak_takes_power_that_no_flow_explains(readings):
    leaking, whole = around(readings, LEAK).iloc[12:], around(readings, LEAK, hours=60)
    by_flow = np.polynomial.Polynomial.fit(*whole[~whole["is_fault"]][["flow_m3h", "power_kw"]].to_numpy().T, 2)
    excess = leaking["power_kw"] - by_flow(leaking["flow_m3h"])
    assert excess.median() > 4
    assert leaking["power_kw"].quantile(0.8) < readings["power_kw"].quantile(0.99)


def test_the_bearing_wears_slowly_and_is_replaced_while_the_pump_stands(readings):
    worn = around(readings, BEARING_WEAR).set_index("read_at")
    daily = worn[["vibration_mm_s", "bearing_c"]].resample("1D").mean()
    assert (daily["vibration_mm_s"].diff().dropna() > 0).all()
    assert daily["vibration_mm_s"].iloc[0] < 1.1 * readings["vibration_mm_s"].median()
    assert daily["bearing_c"].iloc[-1] > daily["bearing_c"].iloc[0] + 6
    after = around(readings, BEARING_WEAR, hours=12)
    after = after[after["read_at"] > event(BEARING_WEAR).end]
    assert after["read_at"].min() >= event(BEARING_WEAR).end + timedelta(hours=5)
    assert after["vibration_mm_s"].mean() < 1.5


def test_the_surge_is_over_in_two_records(readings):
    surge = around(readings, SURGE)
    assert len(surge) == 2
    assert surge["pressure_bar"].max() > readings["pressure_bar"].drop(surge.index).max()


def test_the_gap_has_no_records_and_more_load_stays_within_the_usual_range(readings):
    assert around(readings, GAP).empty
    assert not around(readings, GAP, hours=0.5).empty
    more, pump = around(readings, MORE_LOAD), readings[readings["pump_id"] == event(MORE_LOAD).pump]
    usual = pump[pump["read_at"] < EVENTS_START]
    assert more["flow_m3h"].mean() > 1.08 * usual["flow_m3h"].mean()
    for channel in CHANNELS[:-1]:
        assert more[channel].between(usual[channel].min(), usual[channel].max()).mean() > 0.99


def test_the_booster_runs_in_the_shift_of_working_days_and_shows_zeros_when_off(readings):
    booster = readings[readings["pump_id"] == BOOSTER].set_index("read_at")
    before = booster[booster.index < EVENTS_START]
    is_on = before["flow_m3h"] > 0
    assert is_on[(before.index.day_of_week < 5) & before.index.hour.isin(range(7, 19))].all()
    assert not is_on[(before.index.day_of_week >= 5) | before.index.hour.isin([*range(5), *range(21, 24)])].any()
    assert (before.loc[~is_on, CHANNELS[:-1]] == 0).all(axis=None)
    for name in (WEEKEND, NO_START):
        assert (around(readings, name)["flow_m3h"] == 0).mean() > 0.95


def test_the_energy_meters_only_grow_and_one_of_them_stops_for_hours(readings):
    steps = readings.groupby("pump_id")["energy_kwh"].diff().dropna()
    assert (steps >= 0).all()
    assert around(readings, STOPPED_METER)["energy_kwh"].nunique() == 1
    assert steps[around(readings, STOPPED_METER, hours=1).index].max() < steps.quantile(0.999)


def test_a_glitch_is_one_record_and_the_intake_is_blocked_two_hours_after_the_leak(readings):
    assert around(readings, GLITCH)["pressure_bar"].tolist() == [0.0]
    assert event(BLOCKED_INTAKE).start - event(LEAK).end == timedelta(hours=2)
    blocked, leaking = around(readings, BLOCKED_INTAKE), around(readings, LEAK)
    assert blocked["vibration_mm_s"].mean() > 1.3 * leaking["vibration_mm_s"].mean()
