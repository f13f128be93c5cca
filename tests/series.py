"""Series of two machines for tests: a slow cycle that three channels follow, each with noise, and a flag with it."""

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
    """(n, 4) values of a machine."""
    rng = np.random.default_rng(seed)
    cycle = np.sin(2 * np.pi * (np.arange(n) + 7 * seed) / 60)
    values = cycle[:, None] * [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal((n, 3))
    return np.column_stack([10 + values, cycle > 0])


def machine(name, n, seed):
    """Readings of a machine, one a minute."""
    frame = pd.DataFrame(channels(n, seed), columns=list(FEATURES.names))
    times = pd.date_range(START, periods=n, freq="min", tz="UTC")
    return frame.assign(is_open=frame["is_open"] > 0, read_at=times, machine=name, is_fault=0)


def interleaved(*machines):
    """Readings of several machines in order of time, numbered."""
    readings = pd.concat(machines).sort_values(["read_at", "machine"]).reset_index(drop=True)
    return readings.assign(id=np.arange(1, len(readings) + 1))


def trained(**settings):
    """A model of the machines a and b, and a shared one."""
    series = {name: Series(np.arange(600), channels(600, seed)) for seed, name in enumerate("ab")}
    model = SeriesModel.fit(series, SeriesSettings(**settings))
    return SeriesArtifact(FEATURES, model, 0.01, {"a": 600, "b": 600}, {"training": {"upto_key": "[0]"}})
