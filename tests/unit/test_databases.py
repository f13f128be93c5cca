"""Errors of a database name it without its password, and advise what to do."""

import re
import sqlite3

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from jobs.addresses import display_name, has_password
from jobs.databases import failure, open_engine, reading, writing
from schemas.errors import ConfigError, SourceError, StoreError


def opened(url):
    return open_engine(SecretStr(url))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sekret", "cannot be read. Expected a form such as postgresql://"),
        ("postgresql://u:sekret@host:port/db", "cannot be read"),
        ("postgresql://u:p@sekret/x#y@host/db", "an @ behind its host, .* written as %40"),
        ("postgresql://u:p@sekret@host/db", "an @ behind its host, .* written as %40"),
        ("postgrsql://u:sekret@host/db", "'postgrsql' is not a supported kind of database"),
        ("mysql+mysqldb://u:sekret@host/db", "'MySQLdb' for 'mysql[+]mysqldb' is not .* pip install mysqlclient$"),
        ("mysql+cymysql://u:sekret@host/db", "'cymysql' for 'mysql[+]cymysql' is not installed. Install it first.$"),
    ],
)
def test_a_wrong_address_is_a_wrong_configuration(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        opened(url)
    assert "sekret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_is_never_shown():
    assert "sekret" not in display_name(make_url("postgresql://u:sekret@host/db"))
    assert "sekret" not in display_name(make_url("postgresql://u@host/db?password=sekret"))
    shown = display_name(make_url("postgresql://u@host/db?sslmode=require&sslpassword=sekret&odd=sekret"))
    assert shown == "postgresql://u@host/db?odd=***&sslmode=require&sslpassword=***"
    limited = "duckdb:///:memory:?memory_limit=2GB&threads=2"
    assert display_name(make_url(limited)) == limited


@pytest.mark.parametrize(
    ("address", "driver_text", "shown"),
    [
        ("postgresql://u:p@host/x", 'server at "p", port 1 failed', 'server at "p", port 1 failed'),
        ("postgresql://u:p@host/x", "no postgresql://u:p@host:1/x here", "no postgresql://u:***@host:1/x here"),
        ("postgresql://u:p%40s@host/x", "postgresql://u:p@s@host postgresql://u:p%40s@host", "u:***@host .*u:***@host"),
        ("postgresql://u:p@host/x", "host=h password = 'p q' port=1", "host=h password = *** port=1"),
        ("postgresql://u:se%2Fkret@host/x", "se/kret is wrong, se%2Fkret too", "*** is wrong, *** too"),
        ("postgresql://u@host/x?sslpassword=sekret", "the key needs sekret", "the key needs ***"),
        ("postgresql://u@host/x?odd=p&mode=ro", "?odd=p&mode=ro", "?odd=***&mode=ro"),
    ],
)
def test_a_password_is_masked_in_what_a_driver_says_and_words_stay_whole(address, driver_text, shown):
    pattern = re.escape(shown).replace(r"\.\*", ".*")
    assert re.search(f"refused: .*{pattern}\\.", failure(make_url(address), driver_text))


@pytest.mark.parametrize("option", ["password", "sslpassword", "odd"])
def test_an_option_that_may_be_secret_counts_as_a_password(option):
    assert has_password(SecretStr(f"postgresql://u@host/db?{option}=sekret"))
    assert not has_password(SecretStr("postgresql://u@host/db?sslmode=require&connect_timeout=3"))


def test_postgresql_is_spoken_by_psycopg():
    assert opened("postgresql://u@host/db").dialect.driver == "psycopg"


def test_a_server_that_does_not_answer_is_named_without_the_password():
    engine = opened("postgresql://u:sekret@127.0.0.1:1/db")
    message = r"u:\*\*\*@127.0.0.1:1/db.*port 1 failed.*[Cc]onnection refused.*and that it is running"
    with pytest.raises(StoreError, match=message) as caught, reading(engine):
        pass
    assert "sekret" not in str(caught.value)


def test_the_error_of_a_locked_file_names_who_to_wait_for(tmp_path):
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    engine = opened(f"sqlite:///{tmp_path / 'a.db'}?timeout=0.01")
    with pytest.raises(StoreError, match=r"a\.db.*database is locked\. Another program"), writing(engine):
        pass
    holder.close()
    engine.dispose()


def _run(engine, *statements):
    with writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_full_disk_is_named(tmp_path):
    engine = opened(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(StoreError, match=r"a\.db.*disk is full\..*Make room"):
        _run(engine, "PRAGMA max_page_count = 1", "CREATE TABLE a (b)")
    engine.dispose()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="Its folder must exist"), writing(opened(f"sqlite:///{tmp_path}/no/a.db")):
        pass


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "a.db").write_text("id,flow\n1,2\n" * 100)
    engine = opened(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(SourceError, match="must name an SQLite file"), reading(engine, SourceError) as connection:
        connection.execute(text("SELECT * FROM sqlite_master"))
    engine.dispose()


def test_parameters_stay_out_of_errors(tmp_path):
    engine = opened(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(StoreError) as caught, writing(engine) as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "sekret"})
    assert "no such table: nowhere" in str(caught.value)
    assert "sekret" not in str(caught.value) + str(caught.value.__cause__)
    engine.dispose()


def test_what_fails_half_way_leaves_nothing(tmp_path):
    engine = opened(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(StoreError, match="nowhere"), writing(engine) as connection:  # noqa: PT012 - both in one
        connection.execute(text("CREATE TABLE a (id INTEGER)"))
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))
    with reading(engine) as connection:
        assert connection.execute(text("SELECT * FROM sqlite_master")).all() == []
    engine.dispose()


def test_writers_wait_for_their_turn(tmp_path):
    """Two that read before they write would fail at once if their transactions began as readers."""
    from concurrent.futures import ThreadPoolExecutor

    engine = opened(f"sqlite:///{tmp_path}/a.db")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE a (n INTEGER)"))

    def add(_number):
        with writing(engine) as connection:
            count = connection.scalar(text("SELECT COUNT(*) FROM a"))
            connection.execute(text("INSERT INTO a VALUES (:n)"), {"n": count})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(20)))
    with reading(engine) as connection:
        assert connection.scalars(text("SELECT n FROM a ORDER BY n")).all() == list(range(20))
    engine.dispose()
