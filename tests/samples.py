"""Small sets of records and small models for tests."""

import numpy as np
import pandas as pd

from schemas.config import ModelConfig
from schemas.frames import Features

FEATURES = Features(
    numeric=("load", "flow", "pressure"), boolean=("is_open",), categorical=("mode",), timestamp=("read_at",)
)
SMALL = ModelConfig(members=2, hidden=16, steps=150, patience=3)


def make_records(n: int, seed: int = 0) -> pd.DataFrame:
    """Return normal records with features of every type: flow and pressure follow the load, the mode the flow."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=n)
    flow = 50 + 10 * load + rng.normal(size=n)
    pressure = np.where(rng.random(n) < 0.1, np.nan, 3 + load + 0.1 * rng.normal(size=n))
    return pd.DataFrame(
        {
            "load": load,
            "flow": flow,
            "pressure": pressure,
            "is_open": pd.array(load + 0.3 * rng.normal(size=n) > 0, dtype="boolean"),
            "mode": pd.Series(np.where(flow > 55, "high", np.where(flow > 45, "normal", "low")), dtype="str"),
            "read_at": pd.date_range("2026-01-05", periods=n, freq="7min", tz="UTC"),
        }
    )
