from datetime import timedelta

import pandas as pd
import pytest

from jobs.demo.samples import breast_cancer, pump_station
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def station():
    return pump_station()


@pytest.fixture(scope="module")
def normal(station):
    return station.readings[station.readings["is_fault"] == 0]


def test_breast_cancer_records_are_numbered_labelled_and_mixed():
    records = breast_cancer()
    assert len(records) == 569
    assert records["id"].tolist() == list(range(1, 570))
    assert records["is_malignant"].sum() == 212
    assert 40 < records["is_malignant"].head(150).sum() < 75
    assert "mean_concave_points" in records
    assert breast_cancer().equals(records)


def test_the_seed_decides_the_pump_station():
    first, again, other = (pump_station(seed, days=1).readings for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_keys_grow_with_time_and_every_pump_reports(station):
    readings = station.readings
    assert len(readings) == 14 * 720 * 4
    assert readings["id"].tolist() == list(range(1, len(readings) + 1))
    assert readings["read_at"].is_monotonic_increasing
    assert str(readings["read_at"].dtype.tz) == "UTC"
    assert readings["pump_id"].value_counts().to_dict() == {f"pump-{i}": 14 * 720 for i in range(1, 5)}
    assert set(readings["mode"]) == {"normal", "high", "idle", "cleaning"}


def test_channels_follow_the_laws_of_pumps(normal):
    steady = normal[normal["mode"].isin(["normal", "high"])]
    by_speed = steady.set_index("pump_id")
    assert (by_speed["pressure_bar"] / by_speed["speed_rpm"] ** 2).groupby("pump_id").std().max() < 2e-7
    assert normal["flow_lpm"].corr(normal["speed_rpm"]) > 0.95
    assert normal["motor_c"].corr(normal["motor_amps"]) > 0.7
    night = normal["ambient_c"].groupby(normal["read_at"].dt.hour).mean()
    assert night.idxmin() in range(1, 6)
    assert night.idxmax() in range(13, 18)


def test_about_one_cell_in_two_hundred_is_missing(normal):
    channels = normal.select_dtypes("float")
    assert channels.isna().mean().between(0.003, 0.007).all()


def test_faults_come_late_one_after_another_on_different_pumps(station):
    faults = station.faults.sort_values("started_at")
    times = station.readings["read_at"]
    assert faults["started_at"].min() >= times.min() + 0.64 * (times.max() - times.min())
    assert (faults["started_at"].iloc[1:].to_numpy() > faults["ended_at"].iloc[:-1].to_numpy()).all()
    assert faults["pump_id"].nunique() == 4
    assert len(faults) == 6


def test_the_labels_agree_with_the_faults(station):
    readings = station.readings
    is_inside = pd.Series(False, index=readings.index)
    for fault in station.faults.itertuples():
        rows = (readings["pump_id"] == fault.pump_id) & readings["read_at"].between(fault.started_at, fault.ended_at)
        assert readings.loc[rows, "is_fault"].mean() > 0.2
        is_inside |= rows
    assert not readings.loc[~is_inside, "is_fault"].any()
    assert ((readings["status"] == "fault") == (readings["is_fault"] == 1)).all()


def fault_of(station, name):
    """The faulty readings of a fault, and the normal ones of the same pump."""
    (fault,) = station.faults[station.faults["fault"] == name].itertuples()
    pump = station.readings[station.readings["pump_id"] == fault.pump_id]
    is_inside = pump["read_at"].between(fault.started_at, fault.ended_at)
    return pump[is_inside & (pump["is_fault"] == 1)], pump[pump["is_fault"] == 0]


def test_each_fault_shows_in_the_channels_it_names(station):
    worn, normal = fault_of(station, "bearing wear")
    assert worn["vibration_mm_s"].tail(50).min() > normal["vibration_mm_s"].quantile(0.999)
    stuck, normal = fault_of(station, "stuck sensor")
    assert stuck["pressure_bar"].nunique() == 1
    clogged, normal = fault_of(station, "clogging")
    assert (clogged["flow_lpm"] / clogged["speed_rpm"]).max() < 0.9 * (
        normal["flow_lpm"] / normal["speed_rpm"]
    ).median()
    spiking, normal = fault_of(station, "current spikes")
    excess = spiking["motor_amps"] - 28 * (spiking["speed_rpm"] / 1450) ** 3
    assert excess.median() > 8
    dead, _ = fault_of(station, "dead sensor")
    assert dead[["vibration_mm_s", "bearing_c"]].isna().all(axis=None)
    wrong, normal = fault_of(station, "wrong mode")
    assert (wrong["mode"] == "idle").all()
    assert wrong["speed_rpm"].min() > normal.loc[normal["mode"] == "idle", "speed_rpm"].median()


@pytest.mark.parametrize("pumps", [1, 3])
def test_a_short_period_still_has_every_fault(pumps):
    station = pump_station(days=0.5, pumps=pumps)
    assert station.faults["fault"].nunique() == 6
    assert station.readings["is_fault"].any()


def test_a_period_too_short_for_the_faults_is_refused():
    with pytest.raises(UsageError, match="4 pumps with 12 readings each; expected at least"):
        pump_station(days=1, step=timedelta(hours=2))
