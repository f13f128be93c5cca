"""Simulated machines for tests: three noisy channels that follow a slow cycle, and a flag."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from detector.series.artifact import SeriesArtifact
from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from schemas.frames import Features

START = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = Features(numeric=("torque", "speed", "load"), boolean=("is_open",))


def channels(n, seed):
    """Return the values (n, 4) of a machine."""
    rng = np.random.default_rng(seed)
    cycle = np.sin(2 * np.pi * (np.arange(n) + 7 * seed) / 60)
    values = cycle[:, None] * [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal((n, 3))
    return np.column_stack([10 + values, cycle > 0])


def machine(name, n, seed):
    """Return the readings of a machine, one per minute."""
    frame = pd.DataFrame(channels(n, seed), columns=list(FEATURES.names))
    times = pd.date_range(START, periods=n, freq="min", tz="UTC")
    return frame.assign(is_open=frame["is_open"] > 0, read_at=times, machine=name, is_fault=0)


def interleaved(*machines):
    """Return the readings of several machines in order of time, numbered."""
    readings = pd.concat(machines).sort_values(["read_at", "machine"]).reset_index(drop=True)
    return readings.assign(id=np.arange(1, len(readings) + 1))


def trained(**settings):
    """Return the artifact of a model of the machines a and b, with a shared model."""
    series = {name: Series(np.arange(600), channels(600, seed)) for seed, name in enumerate("ab")}
    model = SeriesModel.fit(series, SeriesSettings(**({"network": False} | settings)))
    return SeriesArtifact(FEATURES, model, 0.01, {"a": 600, "b": 600}, {"training": {"upto_key": "[0]"}})
