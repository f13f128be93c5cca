"""The arithmetic behind the figures of speed and memory."""

import pyarrow.parquet
import pytest

from benchmarks.speed.report import Machine, Timing, growth, report, slowest_stage
from benchmarks.speed.setting import QUARTER, WHOLE, Size, write_config
from benchmarks.speed.table import write_records
from schemas.config import load_config

MIB = 1 << 20


@pytest.fixture
def timings():
    names = ("read", "read limit", "score", "score limit", "isolation_forest", "lof", "import", "train")
    others = ("write", "write by executemany", "fit", "fit by PyOD")
    starts = ("python", "pandas", "help", "status", "anomalies", "few")
    rates = {name: Timing(1000, (1.0,)) for name in (*names, *others, *starts)}
    monitors = {WHOLE: Timing(4000, (8.0,), 330 * MIB), QUARTER: Timing(1000, (2.0,), 300 * MIB)}
    rates |= {"few records": Timing(256, (1.0,), 240 * MIB), "write by executemany": Timing(1000, (4.0,))}
    rates |= {"serve": Timing(256, (1.0,), 210 * MIB)}
    return rates | monitors | {"score": Timing(1000, (1.25, 9.0, 1.0)), "help": Timing(1, (3.0,))}


def test_a_rate_is_that_of_the_median_repetition():
    assert Timing(100, (4.0, 1.0, 100.0)).rate == 25.0


def test_the_slowest_stage_is_the_one_with_the_lowest_rate(timings):
    assert slowest_stage(timings).rate == 800.0


def test_memory_is_compared_by_peaks(timings):
    assert growth(timings[QUARTER], timings[WHOLE]) == pytest.approx(1.1)


def test_the_report_compares_each_figure_with_its_limit_or_peer(timings):
    text = report(timings, Size(4000, 38), "postgresql", Machine("A processor", 4, 2, 0.5))
    assert "| scoring alone | 800 | its matrix products in NumPy | 1,000 | 0.80 |" in text
    assert "| table to flagged rows | 500 | the slower of the two | 800 | 0.62 |" in text
    assert "| table to flagged rows | 500 | pandas and local outlier factor | 1,000 | 0.50 |" in text
    assert "| writing scores alone | 1,000 | executemany | 250 | 4.00 |" in text
    assert "| fitting to 1,000 records | 1,000 | PyOD's VAE | 1,000 | 1.00 |" in text
    assert "| 4,000 | 330 | 1.10 |" in text
    assert "A process that scores 256 records peaks at 240 MiB." in text
    assert "`serve` has 210 MiB at rest" in text
    assert "| `plumbline --help` | 3.00 | an empty Python program | 1.00 | 3.0 |" in text


def test_a_quarter_of_the_table_has_several_batches(tmp_path):
    size = Size(rows=40_000, columns=2)
    write_config(tmp_path / "config.toml", "sqlite:///a.db", size)
    monitors = load_config(tmp_path / "config.toml", {}).monitors
    assert monitors[WHOLE].batch_size * 5 == 10_000
    assert monitors[QUARTER].query == "SELECT * FROM records WHERE id <= 10000"


def test_the_table_has_the_given_rows_and_anomalies_only_past_the_normal_ones(tmp_path):
    write_records(tmp_path / "records.parquet", rows=60_000, columns=3, normal=20_000)
    records = pyarrow.parquet.read_table(tmp_path / "records.parquet").to_pandas()
    spread = records.filter(like="sensor").abs().max(axis=1)
    assert records["id"].tolist() == list(range(1, 60_001))
    assert (spread[:20_000] < 15).all()
    assert 0 < (spread[20_000:] > 15).sum() < 100
