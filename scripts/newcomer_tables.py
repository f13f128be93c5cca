"""Five tables of different kinds: their history, later records that are normal, and a few that are not."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pandas as pd
from scipy.signal import lfilter

START = pd.Timestamp("2025-03-03")
DEVICES = ("north", "south", "east")
STEPS_A_DAY = 288
HISTORY_DAYS, LATER_DAYS = 5, 4
RECORDS, HISTORY = 5_500, 3_000


@dataclass(frozen=True)
class Trial:
    """A table to watch from its first record on.

    Attributes:
        table: its name.
        columns: name and SQL type of each column; none for a table that is imported from a CSV file.
        primary_key: the columns of its primary key.
        records: returns the history and the later records, each with a column `is_odd`, which is not in the table.
        identity: the columns that identify a record.
    """

    table: str
    columns: dict[str, str]
    primary_key: str
    records: Callable[[np.random.Generator], tuple[pd.DataFrame, pd.DataFrame]]
    identity: tuple[str, ...]


def readings(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return readings of three devices every five minutes, with a daily cycle; a late sensor fault is odd."""
    steps = STEPS_A_DAY * (HISTORY_DAYS + LATER_DAYS)
    times = pd.date_range(START, periods=steps, freq="5min")
    cycle = np.sin(2 * np.pi * np.arange(steps) / STEPS_A_DAY)
    frames = []
    for level, device in enumerate(DEVICES):
        load = lfilter([0.3], [1, -0.9], rng.normal(size=steps)) + cycle
        frame = {"device_id": device, "ts": times, "flow": 40 + level + 5 * load + 0.3 * rng.normal(size=steps)}
        frame["pressure"] = 6 - 0.8 * load + 0.1 * rng.normal(size=steps)
        frames.append(pd.DataFrame(frame))
    records = pd.concat(frames, ignore_index=True).assign(is_odd=False)
    records.loc[(records["device_id"] == "east") & (records["ts"] >= times[-12]), ["pressure", "is_odd"]] = [12.0, True]
    is_history = records["ts"] < START + pd.Timedelta(days=HISTORY_DAYS)
    return records[is_history], records[~is_history]


def payments(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return card payments with random ids; most were never looked at, so that `is_fraud` is null."""
    count = RECORDS
    seconds = np.sort(rng.choice(60 * 86_400, count, replace=False))
    channel = rng.choice(["shop", "web", "phone"], count, p=[0.6, 0.3, 0.1])
    typical = pd.Series(channel).map({"shop": 3.0, "web": 3.8, "phone": 4.5}).to_numpy()
    records = pd.DataFrame(
        {
            "payment_id": [str(UUID(bytes=rng.bytes(16), version=4)) for _ in range(count)],
            "created_at": START + pd.to_timedelta(seconds, unit="s"),
            "customer_id": rng.integers(1, 900, count),
            "amount": np.exp(typical + 0.5 * rng.normal(size=count)).round(2),
            "channel": channel,
            "currency": rng.choice(["EUR", "USD"], count, p=[0.8, 0.2]),
            "is_fraud": np.where(rng.random(count) < 0.1, 0, None),
            "is_odd": False,
        }
    )
    odd = [*range(50, 2_000, 50), *range(count - 10, count)]
    records.loc[odd, "amount"] = 9_999.99
    records.loc[odd, ["is_fraud", "is_odd"]] = [1, True]
    return records.iloc[:HISTORY], records.iloc[HISTORY:]


def parts(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return measured parts without a time; a defect has a subtype of its own."""
    count = RECORDS
    size = rng.normal(size=(count, 1))
    columns = {f"d{i}": (10 * (i + 1) + size[:, 0] * 0.1 + 0.02 * rng.normal(size=count)).round(4) for i in range(4)}
    records = pd.DataFrame({"id": np.arange(1, count + 1), **columns, "batch_no": np.arange(count) // 100})
    odd = np.r_[50:2_000:50, count - 10 : count]
    records["defect"] = np.isin(np.arange(count), odd).astype(int)
    records["defect_burr"] = records["defect"] * (records["id"] % 2)
    records.loc[odd, "d2"] += 1.5
    records["is_odd"] = records["defect"] == 1
    return records.iloc[:HISTORY], records.iloc[HISTORY:]


def requests(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return requests to a server at random times, with codes, a free text and a running total."""
    count = RECORDS
    seconds = np.sort(rng.choice(20 * 86_400, count, replace=False))
    status = rng.choice([200, 304, 404], count, p=[0.85, 0.1, 0.05])
    sent = np.where(status == 200, rng.lognormal(8, 0.4, count), rng.lognormal(5, 0.2, count)).round().astype(int)
    records = pd.DataFrame(
        {
            "id": np.arange(1, count + 1),
            "logged_at": START + pd.to_timedelta(seconds, unit="s"),
            "method": rng.choice(["GET", "POST"], count, p=[0.9, 0.1]),
            "status_code": status,
            "bytes": sent,
            "ms": (sent / 100 * np.exp(0.2 * rng.normal(size=count))).round(1),
            "total_bytes": np.cumsum(sent),
            "message": [f"request {number}" for number in rng.permutation(count)],
            "is_odd": False,
        }
    )
    odd = range(count - 10, count)
    records.loc[odd, "ms"] = 60_000.0
    records.loc[odd, "is_odd"] = True
    return records.iloc[:HISTORY], records.iloc[HISTORY:]


def samples(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return laboratory samples as a German program exports them: decimal commas, days first, `NA` if missing."""
    count = RECORDS
    minutes = np.sort(rng.choice(90 * 1_440, count, replace=False))
    acid = rng.normal(7, 0.3, count)
    records = pd.DataFrame(
        {
            "Probe": [f"P{number:07d}" for number in range(count)],
            "Entnahme": (START + pd.to_timedelta(minutes, unit="min")).strftime("%d.%m.%Y %H:%M"),
            "pH": acid,
            "Leitwert": 1500 + 200 * (acid - 7) + 30 * rng.normal(size=count),
            "Labor": rng.choice(["Nord", "NA"], count),
            "is_odd": False,
        }
    )
    odd = range(count - 10, count)
    records.loc[odd, ["Leitwert", "is_odd"]] = [2_900.0, True]
    for name, decimals in (("pH", 2), ("Leitwert", 1)):
        texts = records[name].map(f"{{:.{decimals}f}}".format).str.replace(".", ",")
        records[name] = np.where(rng.random(count) < 0.01, "NA", texts)
    records.loc[odd, "Leitwert"] = "2.900,0"
    return records.iloc[:HISTORY], records.iloc[HISTORY:]


TRIALS = (
    Trial(
        "device_readings",
        {"device_id": "VARCHAR(20)", "ts": "TIMESTAMP", "flow": "FLOAT", "pressure": "FLOAT"},
        "device_id, ts",
        readings,
        ("device_id", "ts"),
    ),
    Trial(
        "card_payments",
        {
            "payment_id": "VARCHAR(36)",
            "created_at": "TIMESTAMP",
            "customer_id": "INTEGER",
            "amount": "NUMERIC(12, 2)",
            "channel": "VARCHAR(20)",
            "currency": "VARCHAR(3)",
            "is_fraud": "INTEGER",
        },
        "payment_id",
        payments,
        ("payment_id",),
    ),
    Trial(
        "measured_parts",
        {"id": "INTEGER", **{f"d{i}": "FLOAT" for i in range(4)}}
        | {"batch_no": "INTEGER", "defect": "INTEGER", "defect_burr": "INTEGER"},
        "id",
        parts,
        ("id",),
    ),
    Trial(
        "web_requests",
        {
            "id": "INTEGER",
            "logged_at": "TIMESTAMP",
            "method": "VARCHAR(8)",
            "status_code": "INTEGER",
            "bytes": "INTEGER",
            "ms": "FLOAT",
            "total_bytes": "BIGINT",
            "message": "VARCHAR(40)",
        },
        "id",
        requests,
        ("id",),
    ),
    Trial("water_samples", {}, "id", samples, ("Probe",)),
)
