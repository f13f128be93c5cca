"""A changed configuration file is reported once, after its writer has finished."""

import os

import pytest

from jobs.config_file import ConfigFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("a = 1")
    return path


def test_an_unchanged_file_is_not_reported(path):
    file = ConfigFile(path)
    assert [file.has_changed() for _ in range(3)] == [False, False, False]


def test_a_change_is_reported_once_and_only_after_the_file_is_stable(path):
    file = ConfigFile(path)
    path.write_text("a =")
    assert not file.has_changed()
    path.write_text("a = 22")
    assert [file.has_changed() for _ in range(3)] == [False, True, False]


def test_a_replaced_file_of_the_same_length_is_a_change(path):
    file = ConfigFile(path)
    other = path.with_name("other.toml")
    other.write_text("a = 2")
    os.utime(other, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert [file.has_changed() for _ in range(3)] == [False, True, False]


def test_a_deleted_file_is_a_change(path):
    file = ConfigFile(path)
    path.unlink()
    assert [file.has_changed() for _ in range(3)] == [False, True, False]
