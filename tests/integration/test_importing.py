"""CSV and Parquet files become tables, completely or not at all."""

import gzip
import zipfile
from csv import field_size_limit
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa

from jobs.importing import files
from jobs.importing.files import open_records
from jobs.importing.importing import FileReading, import_file
from jobs.store import migrations
from schemas.errors import RecordsError, SourceError, UsageError


@pytest.fixture
def csv(tmp_path):
    """Return a function that writes a CSV file and returns its path."""

    def write(content, name="records.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows(engine, statement):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def tables(engine):
    with engine.connect() as connection:
        return sa.inspect(connection).get_table_names()


def test_a_csv_file_becomes_a_table_with_the_types_it_shows(engine, csv):
    path = csv("id,read_at,pressure,is_open,mode\n7,2026-01-01 10:00:00,1,true,high\n9,2026-01-02T10:00:00.5,1.5,,\n")
    report = import_file(path, engine, "readings")
    table = sa.Table("readings", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        records = connection.execute(table.select().order_by(table.c.id)).all()
    times = [row.read_at.replace(tzinfo=UTC) for row in records]
    assert times == [datetime(2026, 1, 1, 10, tzinfo=UTC), datetime(2026, 1, 2, 10, 0, 0, 500_000, tzinfo=UTC)]
    assert [(r.id, r.pressure, r.is_open, r.mode) for r in records] == [(7, 1.0, True, "high"), (9, 1.5, None, None)]
    assert [column.name for column in table.primary_key] == ["id"]
    assert (report.rows, report.is_key_added, report.naive_times) == (2, False, ("read_at",))
    assert report.columns["is_open"] == "BOOLEAN"


def test_a_file_without_the_key_gets_one_that_grows_and_never_returns(engine, csv):
    report = import_file(csv("a\n5\n6\n7\n"), engine, "t")
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM t WHERE id = 3")
    import_file(csv("a\n8\n"), engine, "t", if_exists="append")
    assert rows(engine, "SELECT id, a FROM t ORDER BY id") == [(1, 5), (2, 6), (4, 8)]
    assert report.is_key_added


def test_a_type_that_changes_late_in_the_file_holds_for_the_whole_column(engine, csv, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK_BYTES", 200)
    lines = [f"{i},{i},{i}" for i in range(100)] + ["100,0.5,late"]
    report = import_file(csv("id,a,b\n" + "\n".join(lines)), engine, "t")
    assert [report.columns[name].split()[0] for name in "ab"] == ["DOUBLE", "TEXT"]
    assert rows(engine, "SELECT a, b FROM t WHERE id IN (1, 100) ORDER BY id") == [(1.0, "1"), (0.5, "late")]


@pytest.mark.parametrize("code", ["00123", "-007", " 01", "00.5", "0x1F"])
def test_a_column_with_a_code_keeps_the_zeros_of_all_its_codes(engine, csv, code, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK_BYTES", 200)
    lines = [f"{i + 100},{i},0.5" for i in range(100)]
    import_file(csv("\n".join(["key,a,b", *lines, f"{code},{code},-0.5", f"0{code},,0"])), engine, "t", key="key")
    imported = rows(engine, "SELECT key, a, b FROM t")
    assert {("100", "0", 0.5), (code, code, -0.5), (f"0{code}", None, 0.0)} <= set(imported)


def test_codes_are_not_appended_to_numbers(engine, csv):
    import_file(csv("zip\n90210\n"), engine, "t")
    with pytest.raises(RecordsError, match="Column 'zip' of .* holds TEXT values, but the table's is BIGINT"):
        import_file(csv("zip\n01067\n"), engine, "t", if_exists="append")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_guessed_from_the_header(sqlite_engine, csv, delimiter):
    path = csv(f"\ufeffid{delimiter}a\r\n1{delimiter}2.5\r\n")
    import_file(path, sqlite_engine, "t")
    assert rows(sqlite_engine, "SELECT id, a FROM t") == [(1, 2.5)]


def test_hostile_names_and_values_are_stored_as_they_are(engine, csv):
    names = ['x"; DROP TABLE t; --', "%(a)s", "a:b", "two words", "select", "(é)"]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    path = csv(header + '\n"q""x","two\nlines","1,5",\'; --,%s,\\N\n')
    import_file(path, engine, "my table")
    with engine.connect() as connection:
        table = sa.Table("my table", sa.MetaData(), autoload_with=engine)
        (record,) = connection.execute(table.select()).mappings()
    assert dict(record) == dict(zip(["id", *names], [1, 'q"x', "two\nlines", "1,5", "'; --", "%s", "\\N"], strict=True))


def test_parquet_is_stored_with_its_types(engine, tmp_path):
    frame = pd.DataFrame(
        {
            "id": [2**53 + 1, 2**53 + 2],
            "read_at": pd.to_datetime(["2026-01-01 00:00:00.123456789+02:00", None]),
            "mode": pd.Categorical(["high", None]),
            "silent": pa.nulls(2).to_pandas(),
            "load": np.array([np.inf, 0.5], "float32"),
        }
    )
    table = pa.Table.from_pandas(frame).append_column("nan", pa.array([1.5, float("nan")]))
    pa.parquet.write_table(table, tmp_path / "r.parquet")
    report = import_file(tmp_path / "r.parquet", engine, "t")
    imported = rows(engine, "SELECT id, mode, silent, load, nan FROM t ORDER BY id")
    assert imported == [(2**53 + 1, "high", None, np.inf, 1.5), (2**53 + 2, None, None, 0.5, None)]
    assert report.naive_times == ()


def test_a_table_in_another_schema_is_named_with_a_dot(postgres_engine, csv):
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA plant")
    import_file(csv("a\n1\n"), postgres_engine, "plant.t")
    assert rows(postgres_engine, "SELECT a FROM plant.t") == [(1,)]


def test_postgresql_plans_by_the_imported_records_at_once(postgres_engine, csv):
    file = csv("id,flow\n" + "".join(f"{n},{n / 7}\n" for n in range(1, 501)))
    import_file(file, postgres_engine, 'odd "name"')
    analyzed = rows(postgres_engine, "SELECT attname FROM pg_stats WHERE tablename = 'odd \"name\"'")
    assert set(analyzed) == {("id",), ("flow",)}


def test_lines_within_quotes_belong_to_one_record(sqlite_engine, csv, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK_BYTES", 100)
    import_file(csv("note,a\n" + '"two\n\nlines",5\n' * 50), sqlite_engine, "t")
    assert rows(sqlite_engine, "SELECT count(*), min(note), max(note) FROM t") == [(50, *["two\n\nlines"] * 2)]


def test_progress_reports_the_records_written_so_far(sqlite_engine, csv, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK_BYTES", 100)
    counts = []
    import_file(csv("a\n" + "1\n" * 200), sqlite_engine, "t", how=FileReading(progress=counts.append))
    assert counts == sorted(set(counts))
    assert len(counts) > 1
    assert counts[-1] == 200


BAD_FILES = {
    "a,b\n1,2\n3\n": r"Line 3 of .* has 1 cells, expected 2",
    'a,b\n"1\n1",2\n3,4,5\n': r"Line 4 of .* has 3 cells, expected 2",
    "a,b\n1,café\n".encode("latin-1"): r"Line 2 of .* is not UTF-8: byte 0xe9 in column 6.*iconv",
    "é,b\n1,2\n".encode("latin-1"): r"Line 1 of .* is not UTF-8.*iconv -f windows-1252 -t utf-8",
    "a,b\n1,2\n".encode("utf-16"): r"byte 0xff in column 1.*iconv -f utf-16 -t utf-8",
    "": "is empty",
    "a,b\n": "holds no records",
    "a,b,A\n1,2,3\n": r"columns of the same name, case aside: \['A', 'a'\]",
    "1.5,2\n3,4\n": "has no header",
    "p1,2026-01-01 08:00,7\np1,2026-01-01 08:05,8\n": "no header: its first line holds .*'2026-01-01 08:00'",
    "id,a\n1,2\n,3\n": "Record 2 of .* has no value for the key 'id'",
    "id,a\n,2\n": "key column 'id' of .* is empty",
    "id,a\n0.5,2\n": "key column 'id' of .* is of type double",
    "id,a\n1,2\n2,3\n1,4\n": r"(?s)rejected records of .*id.*Nothing was imported",
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.items(), ids=BAD_FILES.values())
def test_a_file_that_is_no_table_leaves_no_table(engine, csv, content, message):
    with pytest.raises(RecordsError, match=message):
        import_file(csv(content), engine, "t")
    assert tables(engine) == []


def test_lines_that_are_no_records_are_left_out_and_named(engine, csv):
    records = [f"{i};2026-01-05 {i % 24:02}:00;{i / 2}" for i in range(1, 31)]
    lines = [
        "Report of the plant",
        "Station;7;",
        "id;at;flow",
        *records[:15],
        "id;at;flow",
        *records[15:],
        "Total;;232.5",
    ]
    report = import_file(csv("\n".join(lines)), engine, "t")
    assert rows(engine, "SELECT count(*), sum(flow) FROM t") == [(30, 232.5)]
    assert report.remarks == (
        "The header is line 3: 2 lines above it left out.",
        "Left out: 1 line that repeats the header.",
        "Left out: the last line, with 'Total', since it is no record.",
    )


def test_a_text_among_numbers_is_no_total_and_is_named(sqlite_engine, csv):
    cells = [*(f"{i}.5" for i in range(1_200)), "blocked"]
    report = import_file(csv("flow,mode\n" + "\n".join(f"{cell},on" for cell in cells)), sqlite_engine, "t")
    assert report.rows == 1_201
    assert report.notes["flow"] == ("texts that look like numbers, such as '0.5', among others such as 'blocked'",)


def test_only_a_total_in_the_last_line_is_left_out(sqlite_engine, csv):
    lines = [f"2026-01-05 10:{minute:02},1.5" for minute in range(30)]
    report = import_file(csv("\n".join(["at,flow", *lines, "Total,45", ",1.5"])), sqlite_engine, "t")
    assert (report.rows, report.remarks) == (32, ())


def test_records_with_decimal_commas_are_no_header(csv):
    records = "".join(f"P{i};1,{i};2,{i};\n" for i in range(5))
    with pytest.raises(RecordsError, match="Line 2 of .* has 4 cells, expected 3 as in its header"):
        open_records(csv(f"pump;flow;temp\n{records}"))


def test_cells_that_are_too_long_for_the_module_csv_are_read(csv):
    cell = "x" * (field_size_limit() + 1)
    assert list(open_records(csv(f"id,note\n1,{cell}\n")).kinds) == ["id", "note"]
    with pytest.raises(RecordsError, match="field larger than field limit .* in its first line. Check that"):
        open_records(csv(f"{cell}\n"))


def test_a_zip_file_by_a_method_that_python_lacks_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", "flow\n1.5\n")
    content = bytearray((tmp_path / "t.zip").read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 9  # Deflate64
    (tmp_path / "t.zip").write_bytes(content)
    with pytest.raises(RecordsError, match="compression method is not supported. Compress it again"):
        open_records(tmp_path / "t.zip")


def test_a_zip_file_that_is_damaged_or_holds_another_kind_of_file_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("t.csv", "flow\n1.5\n" * 100)
    content = bytearray((tmp_path / "t.zip").read_bytes())
    content[60] ^= 0xFF
    (tmp_path / "t.zip").write_bytes(content)
    with pytest.raises(RecordsError, match=r"is not a valid .zip file: Corrupt input data. Compress it again"):
        open_records(tmp_path / "t.zip")
    with zipfile.ZipFile(tmp_path / "u.zip", "w") as archive:
        archive.writestr("t.parquet", b"PAR1")
    with pytest.raises(UsageError, match=r"holds t.parquet, expected a file that ends in .csv, .tsv, .txt. Extract it"):
        open_records(tmp_path / "u.zip")


def test_columns_without_a_name_are_called_by_their_position(engine, csv):
    report = import_file(csv(",flow,,column_3\n2026-01-05 08:00,1.5,,x\n"), engine, "t", key="key")
    assert list(report.columns) == ["column_1", "flow", "column_3_", "column_3"]
    assert report.notes["column_1"] == ("no name in the file",)
    assert report.naive_times == ("column_1",)


def test_cells_that_mark_a_missing_value_are_named(engine, csv, tmp_path):
    import_file(csv("flow,mode\n-999,ERR\n1.5,on\nERR,-999\n"), engine, "t", how=FileReading(("-999", "ERR")))
    assert rows(engine, "SELECT flow, mode FROM t ORDER BY id") == [(None, None), (1.5, "on"), (None, None)]
    with pytest.raises(UsageError, match="is not a CSV file, .* Leave --null out"):
        import_file(tmp_path / "t.parquet", engine, "u", how=FileReading(("-999",)))


def test_compressed_files_are_read_as_they_are(sqlite_engine, csv, tmp_path):
    content = b"flow\n1.5\n"
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", content)
    for file, table in ((csv(gzip.compress(content), "t.csv.gz"), "a"), (tmp_path / "t.zip", "b")):
        import_file(file, sqlite_engine, table)
        assert rows(sqlite_engine, f"SELECT flow FROM {table}") == [(1.5,)]
    with pytest.raises(RecordsError, match="is not a valid .gz file"):
        import_file(csv(gzip.compress(content)[:-9], "t.csv.gz"), sqlite_engine, "c")
    with zipfile.ZipFile(tmp_path / "t.zip", "a") as archive:
        archive.writestr("u.csv", content)
    with pytest.raises(UsageError, match=r"holds 2 files, expected one: t.csv, u.csv. Extract it"):
        import_file(tmp_path / "t.zip", sqlite_engine, "c")


def test_the_command_for_another_encoding_has_the_file_in_quotes(sqlite_engine, tmp_path):
    file = tmp_path / "pump 7.csv"
    file.write_bytes("a\né\n".encode("latin-1"))
    with pytest.raises(RecordsError, match=f"-t utf-8 '{file}' > utf8.csv"):
        import_file(file, sqlite_engine, "t")
    packed = tmp_path / "pump 7.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(RecordsError, match=rf"gzip -dc '{packed}' \| iconv -f windows-1252 -t utf-8 > utf8.csv"):
        import_file(packed, sqlite_engine, "t")


def test_a_failed_replacement_leaves_the_table_that_was(engine, csv):
    import_file(csv("id,a\n1,2\n"), engine, "t")
    with pytest.raises(RecordsError, match="rejected records"):
        import_file(csv("id,b\n1,2\n1,3\n"), engine, "t", if_exists="replace")
    assert rows(engine, "SELECT id, a FROM t") == [(1, 2)]


def test_an_interrupted_import_leaves_no_table(engine, csv):
    def interrupt(written):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(csv("a\n1\n"), engine, "t", how=FileReading(progress=interrupt))
    assert tables(engine) == []


def test_a_table_is_replaced_only_on_request(engine, csv):
    import_file(csv("a\n1\n"), engine, "t")
    with pytest.raises(UsageError, match="The table t exists already"):
        import_file(csv("b\n2\n"), engine, "t")
    import_file(csv("b\n2\n"), engine, "t", if_exists="replace")
    assert rows(engine, "SELECT b FROM t") == [(2,)]


def test_appended_records_take_the_types_of_the_table(engine, csv):
    import_file(csv("id,a,b,c,d\n1,0.5,x,7,2026-01-01\n"), engine, "t")
    import_file(csv("id,d,c,b,a\n2,2026-01-02,,007,9007199254740993\n"), engine, "t", if_exists="append")
    assert rows(engine, "SELECT id, a, b, c FROM t ORDER BY id") == [(1, 0.5, "x", 7), (2, 2.0**53, "007", None)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,a,c\n2,1,1\n", r"the table lacks \['c'\], the file lacks \['b'\]"),
        ("id,a,b\n2,high,1\n", "Column 'a' of .* holds TEXT values, but the table's is BIGINT"),
        ("id,a,b\n1,1,1\n", "rejected records"),
    ],
)
def test_records_that_do_not_fit_the_table_are_not_appended(engine, csv, content, message):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id BIGINT PRIMARY KEY, a BIGINT, b BIGINT NOT NULL)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 2, 3)")
    with pytest.raises(RecordsError, match=message):
        import_file(csv(content), engine, "t", if_exists="append")
    assert rows(engine, "SELECT id, a, b FROM t") == [(1, 2, 3)]


def test_a_call_that_names_no_importable_file_is_a_usage_error(sqlite_engine, csv, tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.csv cannot be read: No such file"):
        import_file(tmp_path / "nowhere.csv", sqlite_engine, "t")
    with pytest.raises(UsageError, match=r"nowhere.parquet cannot be read"):
        import_file(tmp_path / "nowhere.parquet", sqlite_engine, "t")
    with pytest.raises(UsageError, match=r"its name ends in '.xlsx', expected one of .csv.* Save the sheet"):
        import_file(csv("a\n1\n", "records.xlsx"), sqlite_engine, "t")
    with pytest.raises(UsageError, match="init --table .*records.jsonl --source duckdb:///:memory:"):
        import_file(csv("{}", "records.jsonl"), sqlite_engine, "t")
    with pytest.raises(UsageError, match="differ in case only"):
        import_file(csv("ID\n1\n"), sqlite_engine, "t")


def test_invalid_parquet_and_nested_values_are_refused(sqlite_engine, csv, tmp_path):
    with pytest.raises(RecordsError, match="not a valid Parquet file"):
        import_file(csv("not parquet", "bad.parquet"), sqlite_engine, "t")
    pa.parquet.write_table(pa.table({"a": [[1, 2]]}), tmp_path / "nested.parquet")
    with pytest.raises(RecordsError, match=r"holds no column to import. Left out of .*'a' of type list"):
        import_file(tmp_path / "nested.parquet", sqlite_engine, "t")


def test_columns_of_parquet_that_no_table_holds_are_left_out_and_named(engine, tmp_path):
    durations = pa.array([timedelta(milliseconds=1_500), None], pa.duration("us"))
    columns = {"flow": [1.5, 2.5], "place": [{"x": 1}, {"x": 2}], "run": durations, "start": [time(6, 39), None]}
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    report = import_file(tmp_path / "t.parquet", engine, "t")
    assert rows(engine, "SELECT flow, run, start FROM t ORDER BY id") == [
        (1.5, 1.5, "06:39:00.000000"),
        (2.5, None, None),
    ]
    (remark,) = report.remarks
    assert remark.startswith("Left out of t.parquet: 'place' of type struct<x: int64>, since")
    assert report.notes == {"run": ("seconds",)}


def test_a_value_that_the_database_rejects_is_reported_with_its_message(postgres_engine, csv):
    with pytest.raises(RecordsError, match=r"rejected records of .*0x00"):
        import_file(csv("a\nx\x00y\n"), postgres_engine, "t")
    with pytest.raises(SourceError, match="nowhere"):
        import_file(csv("a\n1\n"), postgres_engine, "nowhere.t")


def test_whole_numbers_beyond_a_bigint_are_refused(sqlite_engine, tmp_path):
    pa.parquet.write_table(pa.table({"a": pa.array([2**64 - 1], pa.uint64())}), tmp_path / "big.parquet")
    with pytest.raises(RecordsError, match="should hold a value of type int64, but record 1"):
        import_file(tmp_path / "big.parquet", sqlite_engine, "t")


OWN_NAMES = ["batches", "plumbline_version", "open_anomalies", "anomalies_pump", "Batches"]


@pytest.mark.parametrize("if_exists", ["fail", "append", "replace"])
@pytest.mark.parametrize("name", OWN_NAMES)
def test_the_store_s_own_tables_and_views_are_not_written(store, csv, name, if_exists):
    home = sa.inspect(store.engine).default_schema_name
    for table in (name, f"{home}.{name}"):
        with pytest.raises(UsageError, match=rf"{name} is a name of Plumbline's own .*Import under another name"):
            import_file(csv("id,a\n1,2\n"), store.engine, table, if_exists=if_exists)
    migrations.check(store.engine)


def test_the_store_s_names_are_free_in_other_databases(engine, csv):
    import_file(csv("a\n1\n"), engine, "events")
    assert rows(engine, "SELECT a FROM events") == [(1,)]


def test_the_store_s_names_are_free_in_other_schemas(postgres_engine, csv):
    migrations.upgrade(postgres_engine)
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA plant")
    import_file(csv("a\n1\n"), postgres_engine, "plant.events")
    assert rows(postgres_engine, "SELECT a FROM plant.events") == [(1,)]


def test_a_marker_of_a_missing_value_is_stored_as_text_or_as_null(engine, csv):
    path = csv('id,country,level\n1,"NA",NA\n2,NULL,0.5\n3,nan,nan\n')
    report = import_file(path, engine, "t")
    assert rows(engine, "SELECT country, level FROM t ORDER BY id") == [("NA", None), ("NULL", 0.5), ("nan", None)]
    assert report.notes == {"level": ("2 cells such as 'NA' read as null",)}


def test_a_file_of_markers_is_appended_to_numbers_as_nulls(engine, csv):
    import_file(csv("id,a\n1,0.5\n"), engine, "t")
    import_file(csv("id,a\n2,NA\n"), engine, "t", if_exists="append")
    assert rows(engine, "SELECT a FROM t ORDER BY id") == [(0.5,), (None,)]


def test_digits_signs_and_decimal_commas_are_stored_without_loss(engine, csv):
    import_file(csv("id;a;b;c;d\n12345678901234567890;+4917012345;1E5;12,5;28.11.2026\n"), engine, "t")
    table = sa.Table("t", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        (record,) = connection.execute(table.select()).all()
    assert tuple(record[:4]) == ("12345678901234567890", "+4917012345", "1E5", 12.5)
    assert record.d.replace(tzinfo=UTC) == datetime(2026, 11, 28, tzinfo=UTC)
