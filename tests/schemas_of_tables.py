"""Small tables of many kinds, each with the monitor that an expert would write for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

RECORDS = 400


@dataclass(frozen=True)
class Schema:
    """A table and what should be proposed for it.

    Attributes:
        ddl: the columns as SQL, in the order of the records.
        records: returns them.
        expected: parts of the proposal; parts that it lacks may be anything.
        primary_key: of the table; none if empty.
    """

    ddl: str
    records: Callable[[np.random.Generator], pd.DataFrame]
    expected: dict[str, Any] = field(default_factory=dict)
    primary_key: str = ""


def _times(n=RECORDS, step="min", start="2026-01-05", form="%Y-%m-%d %H:%M:%S"):
    return pd.date_range(start, periods=n, freq=step).strftime(form)


def _random_times(rng, n=RECORDS, days=30):
    seconds = np.sort(rng.uniform(0, days * 86_400, n)).astype(int)
    return (pd.Timestamp("2026-01-05") + pd.to_timedelta(seconds, unit="s")).strftime("%Y-%m-%d %H:%M:%S")


def _ids(n=RECORDS):
    return np.arange(1, n + 1)


def _walk(rng, n=RECORDS):
    return rng.normal(size=n).round(3)


def _grid(devices, readings, step="5min"):
    """Return devices and times of readings, a device after another."""
    times = _times(readings, step)
    return np.repeat(devices, readings), np.tile(times, len(devices))


def _of_devices(rng):
    device, ts = _grid(["a", "b", "c", "d"], 100)
    return pd.DataFrame({"device_id": device, "ts": ts, "flow": _walk(rng), "pressure": _walk(rng)})


def _fraud(rng, values, name="is_fraud", share=0.05):
    label = np.where(rng.random(RECORDS) < share, values[1], values[0])
    return pd.DataFrame(
        {
            "id": _ids(),
            "booked_at": _random_times(rng),
            "amount": rng.lognormal(3, 1, RECORDS).round(2),
            "country": rng.choice(["DE", "FR", "IT"], RECORDS),
            name: label,
        }
    )


SCHEMAS: dict[str, Schema] = {
    "the standard sensor table, device first in its key": Schema(
        "device_id TEXT, ts TIMESTAMP, flow REAL, pressure REAL",
        _of_devices,
        {
            "key": ("ts", "device_id"),
            "time": "ts",
            "entity": "device_id",
            "step": 300,
            "numeric": ["flow", "pressure"],
            "left_out": set(),
            "cut_off": True,
        },
        "device_id, ts",
    ),
    "time first in the key": Schema(
        "ts TIMESTAMP, sensor INTEGER, value REAL",
        lambda rng: pd.DataFrame(
            {"ts": np.repeat(_times(100), 4), "sensor": np.tile([1, 2, 3, 4], 100), "value": _walk(rng)}
        ),
        {"key": ("ts", "sensor"), "entity": "sensor", "step": 60, "numeric": ["value"]},
        "ts, sensor",
    ),
    "a time alone as the key": Schema(
        "created_at TIMESTAMP, load REAL, is_on BOOLEAN",
        lambda rng: pd.DataFrame(
            {"created_at": _times(), "load": _walk(rng), "is_on": rng.integers(0, 2, RECORDS).astype(bool)}
        ),
        {"key": ("created_at",), "entity": None, "step": 60, "numeric": ["load"], "boolean": ["is_on"]},
        "created_at",
    ),
    "numbered readings of machines": Schema(
        "id INTEGER, read_at TIMESTAMP, machine TEXT, torque REAL, mode TEXT",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "read_at": _times(),
                "machine": np.tile(["m1", "m2"], RECORDS // 2),
                "torque": _walk(rng),
                "mode": rng.choice(["low", "high"], RECORDS),
            }
        ),
        {"key": ("id",), "entity": "machine", "step": 120, "numeric": ["torque"], "left_out": {"mode"}},
        "id",
    ),
    "readings in German, with an entity that only its values show": Schema(
        "nr INTEGER, Zeitstempel TIMESTAMP, Ofen TEXT, Temperatur REAL",
        lambda rng: pd.DataFrame(
            {
                "nr": _ids(),
                "Zeitstempel": np.repeat(_times(RECORDS // 4, "15min"), 4),
                "Ofen": np.tile(["o1", "o2", "o3", "o4"], RECORDS // 4),
                "Temperatur": _walk(rng),
            }
        ),
        {"time": "Zeitstempel", "entity": "Ofen", "step": 900, "numeric": ["Temperatur"]},
        "nr",
    ),
    "readings with jitter and some that are missing": Schema(
        "id INTEGER, ts TIMESTAMP, station TEXT, wind REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "ts": (
                    pd.Timestamp("2026-01-05")
                    + pd.to_timedelta(np.cumsum(np.where(rng.random(RECORDS) < 0.1, 600, 300)), unit="s")
                    + pd.to_timedelta(rng.integers(0, 30, RECORDS), unit="s")
                ).strftime("%Y-%m-%d %H:%M:%S"),
                "station": "north",
                "wind": _walk(rng),
            }
        ),
        {"entity": "station", "numeric": ["wind"], "is_series": True},
        "id",
    ),
    "daily sales of shops": Schema(
        "shop_id INTEGER, day DATE, revenue REAL, visitors INTEGER",
        lambda rng: pd.DataFrame(
            {
                "shop_id": np.repeat([1, 2, 3, 4], 100),
                "day": np.tile(_times(100, "D", form="%Y-%m-%d"), 4),
                "revenue": rng.normal(1000, 50, RECORDS).round(2),
                "visitors": rng.poisson(200, RECORDS),
            }
        ),
        {
            "key": ("day", "shop_id"),
            "time": "day",
            "entity": "shop_id",
            "step": 86_400,
            "numeric": ["revenue", "visitors"],
        },
        "shop_id, day",
    ),
    "card transactions with a label": Schema(
        "id INTEGER, booked_at TIMESTAMP, amount REAL, country TEXT, is_fraud INTEGER",
        lambda rng: _fraud(rng, (0, 1)),
        {
            "is_series": False,
            "time": "booked_at",
            "numeric": ["amount"],
            "categorical": ["country"],
            "label": "is_fraud",
            "normal": "is_fraud = 0",
            "rate": 0.05,
        },
        "id",
    ),
    "a label that is null where nobody looked": Schema(
        "id INTEGER, booked_at TIMESTAMP, amount REAL, country TEXT, is_fraud INTEGER",
        lambda rng: _fraud(rng, (None, 1)),
        {"label": "is_fraud", "normal": "(is_fraud = 0 OR is_fraud IS NULL)", "numeric": ["amount"]},
        "id",
    ),
    "a label that is null in every record": Schema(
        "id INTEGER, booked_at TIMESTAMP, amount REAL, country TEXT, is_fraud INTEGER",
        lambda rng: _fraud(rng, (None, None)),
        {"label": None, "normal": None, "left_out": {"is_fraud"}, "numeric": ["amount"]},
        "id",
    ),
    "a label of texts": Schema(
        "id INTEGER, booked_at TIMESTAMP, amount REAL, country TEXT, fraud_found TEXT",
        lambda rng: _fraud(rng, ("N", "Y"), "fraud_found"),
        {"label": None, "normal": "fraud_found = 'N'", "left_out": {"fraud_found"}, "categorical": ["country"]},
        "id",
    ),
    "a table of connections, with kinds of attacks next to the label": Schema(
        "id INTEGER, duration REAL, protocol TEXT, label INTEGER, attack_cat TEXT",
        lambda rng: pd.DataFrame(
            {"id": _ids(), "duration": _walk(rng), "protocol": rng.choice(["tcp", "udp"], RECORDS)}
        ).assign(
            label=(_ids() % 10 == 0).astype(int),
            attack_cat=np.where(_ids() % 10 == 0, "dos", "Normal"),
        ),
        {
            "label": "label",
            "left_out": {"attack_cat"},
            "numeric": ["duration"],
            "categorical": ["protocol"],
            "normal": "label = 0",
        },
        "id",
    ),
    "numbers of failures are no label": Schema(
        "id INTEGER, hour TIMESTAMP, failures INTEGER, fault INTEGER",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "hour": _times(step="h"),
                "failures": rng.poisson(1.5, RECORDS),
                "fault": rng.integers(0, 4, RECORDS),
            }
        ),
        {"label": None, "numeric": ["failures"], "left_out": {"fault"}},
        "id",
    ),
    "failures and their subtypes": Schema(
        'udi INTEGER, "Air temperature" REAL, "Torque" REAL, "Machine failure" INTEGER, TWF INTEGER, HDF INTEGER',
        lambda rng: pd.DataFrame(
            {
                "udi": _ids(),
                "Air temperature": _walk(rng),
                "Torque": _walk(rng),
                "Machine failure": (_ids() % 20 == 0).astype(int),
                "TWF": (_ids() % 40 == 0).astype(int),
                "HDF": (_ids() % 40 == 20).astype(int),
            }
        ),
        {
            "label": "Machine failure",
            "left_out": {"TWF", "HDF"},
            "numeric": ["Air temperature", "Torque"],
            "normal": '"Machine failure" = 0',
            "time": None,
            "cut_off": True,
        },
        "udi",
    ),
    "a target of a regression": Schema(
        "id INTEGER, speed REAL, target_speed REAL, target REAL",
        lambda rng: pd.DataFrame({"id": _ids(), "speed": _walk(rng), "target_speed": _walk(rng), "target": _walk(rng)}),
        {"label": None, "numeric": ["speed", "target_speed"], "left_out": {"target"}},
        "id",
    ),
    "a diagnosis as a class": Schema(
        "id INTEGER, radius REAL, texture REAL, Class INTEGER",
        lambda rng: pd.DataFrame(
            {"id": _ids(), "radius": _walk(rng), "texture": _walk(rng), "Class": (_ids() % 50 == 0).astype(int)}
        ),
        {"label": "Class", "normal": '"Class" = 0', "numeric": ["radius", "texture"]},
        "id",
    ),
    "tickets with a class that is no label": Schema(
        "id INTEGER, price REAL, class TEXT",
        lambda rng: pd.DataFrame(
            {"id": _ids(), "price": _walk(rng), "class": rng.choice(["economy", "business"], RECORDS)}
        ),
        {"label": None, "normal": None, "categorical": ["class"]},
        "id",
    ),
    "a tenant before a running number": Schema(
        "tenant INTEGER, id INTEGER, amount REAL",
        lambda rng: pd.DataFrame({"tenant": np.sort(rng.integers(1, 5, RECORDS)), "id": _ids(), "amount": _walk(rng)}),
        {"key": ("id", "tenant"), "numeric": ["amount"]},
        "tenant, id",
    ),
    "lines of orders": Schema(
        "order_id INTEGER, line INTEGER, quantity INTEGER, price REAL",
        lambda rng: pd.DataFrame(
            {
                "order_id": np.repeat(np.arange(1000, 1000 + RECORDS // 4), 4),
                "line": np.tile([1, 2, 3, 4], RECORDS // 4),
                "quantity": rng.integers(1, 90, RECORDS),
                "price": _walk(rng),
            }
        ),
        {"key": ("order_id", "line"), "numeric": ["quantity", "price"]},
        "order_id, line",
    ),
    "texts as keys, with a time": Schema(
        "hash TEXT, created_at TIMESTAMP, size REAL",
        lambda rng: pd.DataFrame(
            {
                "hash": [f"{value:016x}" for value in rng.integers(0, 2**62, RECORDS)],
                "created_at": _random_times(rng),
                "size": _walk(rng),
            }
        ),
        {"key": ("created_at", "hash"), "time": "created_at", "numeric": ["size"], "is_series": False},
        "hash",
    ),
    "no primary key, as in a hypertable": Schema(
        "time TIMESTAMP, host TEXT, cpu REAL, memory REAL",
        lambda rng: pd.DataFrame(
            {
                "time": np.repeat(_times(100, "10s"), 4),
                "host": np.tile(["a", "b", "c", "d"], 100),
                "cpu": _walk(rng),
                "memory": _walk(rng),
            }
        ),
        {"key": ("time", "host"), "entity": "host", "step": 10, "numeric": ["cpu", "memory"]},
    ),
    "a time that is null in every record": Schema(
        "id INTEGER, created_at TIMESTAMP, measured TIMESTAMP, level REAL",
        lambda rng: pd.DataFrame(
            {"id": _ids(), "created_at": None, "measured": _random_times(rng), "level": _walk(rng)}
        ),
        {"time": "measured", "numeric": ["level"], "left_out": {"created_at"}},
        "id",
    ),
    "times of later events next to the time of a record": Schema(
        "id INTEGER, shipped_at TIMESTAMP, ordered_at TIMESTAMP, updated_at TIMESTAMP, birth_date DATE, total REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "shipped_at": np.where(rng.random(RECORDS) < 0.5, _random_times(rng), None),
                "ordered_at": _random_times(rng),
                "updated_at": _random_times(rng),
                "birth_date": "1980-01-01",
                "total": _walk(rng),
            }
        ),
        {
            "time": "ordered_at",
            "updated": "updated_at",
            "left_out": {"shipped_at", "birth_date"},
            "numeric": ["total"],
        },
        "id",
    ),
    "a birth date is not the time of a record": Schema(
        "id INTEGER, date_of_birth DATE, income REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "date_of_birth": rng.permutation(_times(RECORDS, "D", "1960-01-01", "%Y-%m-%d")),
                "income": _walk(rng),
            }
        ),
        {"time": None, "numeric": ["income"], "left_out": {"date_of_birth"}},
        "id",
    ),
    "counters, years and constants": Schema(
        "id INTEGER, at TIMESTAMP, year INTEGER, total_kwh REAL, unit TEXT, firmware INTEGER, level REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "at": _random_times(rng, days=300),
                "year": np.where(_ids() > 200, 2027, 2026),
                "total_kwh": np.cumsum(rng.random(RECORDS)).round(3),
                "unit": "kWh",
                "firmware": 7,
                "level": _walk(rng),
            }
        ),
        {"numeric": ["level"], "left_out": {"year", "total_kwh", "unit", "firmware"}, "categorical": []},
        "id",
    ),
    "ids of other tables, codes and flags": Schema(
        "id INTEGER, product_id INTEGER, session_id INTEGER, status_code INTEGER, is_mobile INTEGER, ms REAL, url TEXT",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "product_id": rng.integers(1, 6, RECORDS),
                "session_id": rng.permutation(RECORDS),
                "status_code": rng.choice([200, 404, 500], RECORDS),
                "is_mobile": rng.integers(0, 2, RECORDS),
                "ms": _walk(rng),
                "url": [f"/page/{number}" for number in rng.permutation(RECORDS)],
            }
        ),
        {
            "categorical": ["product_id", "status_code"],
            "boolean": ["is_mobile"],
            "numeric": ["ms"],
            "left_out": {"session_id", "url"},
        },
        "id",
    ),
    "transactions of customers, at any time": Schema(
        "id INTEGER, created TIMESTAMP, customer_id INTEGER, amount REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "created": _random_times(rng),
                "customer_id": rng.integers(1, 90, RECORDS),
                "amount": _walk(rng),
            }
        ),
        {"is_series": False, "entity": "customer_id", "numeric": ["amount"], "time": "created"},
        "id",
    ),
    "a few shops are an entity and a category": Schema(
        "id INTEGER, created TIMESTAMP, store TEXT, amount REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "created": _random_times(rng),
                "store": rng.choice(["a", "b", "c"], RECORDS),
                "amount": _walk(rng),
            }
        ),
        {"is_series": False, "entity": "store", "categorical": ["store"]},
        "id",
    ),
    "a staging table of texts": Schema(
        "id INTEGER, weight TEXT, taken TEXT, city TEXT, speed REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "weight": [f"{value:.1f}".replace(".", ",") for value in rng.normal(60, 9, RECORDS)],
                "taken": pd.to_datetime(_random_times(rng)).strftime("%d.%m.%Y %H:%M"),
                "city": rng.choice(["Rome", "Paris"], RECORDS),
                "speed": _walk(rng),
            }
        ),
        {"categorical": ["city"], "numeric": ["speed"], "left_out": {"weight", "taken"}},
        "id",
    ),
    "codes with zeros and codes of digits": Schema(
        "id INTEGER, zip TEXT, port TEXT, grams REAL",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "zip": rng.choice(["01067", "90210"], RECORDS),
                "port": rng.choice(["80", "443"], RECORDS),
                "grams": _walk(rng),
            }
        ),
        {"categorical": ["zip", "port"], "numeric": ["grams"]},
        "id",
    ),
    "a table without a time or a text": Schema(
        "id INTEGER, a REAL, b REAL",
        lambda rng: pd.DataFrame({"id": _ids(), "a": _walk(rng), "b": _walk(rng)}),
        {"time": None, "entity": None, "cut_off": True, "condition": "id < 321", "rate": 0.05, "per_day": None},
        "id",
    ),
    "few records": Schema(
        "id INTEGER, at TIMESTAMP, a REAL",
        lambda rng: pd.DataFrame({"id": _ids(60), "at": _random_times(rng, 60), "a": _walk(rng, 60)}),
        {"cut_off": False, "normal": None, "rate": 0.05},
        "id",
    ),
    "months of four years, too few for a series": Schema(
        "month TIMESTAMP, sales REAL",
        lambda rng: pd.DataFrame({"month": _times(48, "MS"), "sales": _walk(rng, 48)}),
        {"key": ("month",), "step": None, "is_series": False, "numeric": ["sales"]},
    ),
    "a young table whose columns are all constant": Schema(
        "id INTEGER, at TIMESTAMP, a REAL",
        lambda rng: pd.DataFrame({"id": _ids(), "at": _random_times(rng), "a": 1.5}),
        {"numeric": ["a"], "left_out": set()},
        "id",
    ),
    "log lines": Schema(
        "id INTEGER, logged_at TIMESTAMP, level TEXT, service TEXT, bytes INTEGER, message TEXT",
        lambda rng: pd.DataFrame(
            {
                "id": _ids(),
                "logged_at": _random_times(rng, days=2),
                "level": rng.choice(["info", "warn", "error"], RECORDS),
                "service": rng.choice(["web", "db"], RECORDS),
                "bytes": rng.integers(1, 5000, RECORDS),
                "message": [f"request {number} done" for number in range(RECORDS)],
            }
        ),
        {
            "time": "logged_at",
            "categorical": ["level", "service"],
            "numeric": ["bytes"],
            "left_out": {"message"},
            "is_series": False,
        },
        "id",
    ),
}
