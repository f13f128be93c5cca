"""A newcomer takes five tables from `init` to flagged rows without an edit, and the rates are those asked for."""

import pytest

from scripts.newcomer import Newcomer
from scripts.newcomer_tables import TRIALS


@pytest.fixture
def newcomer(database_url, tmp_path):
    return Newcomer(tmp_path, database_url.get_secret_value(), is_quick=True)


def test_five_tables_are_watched_at_the_rate_asked_for(newcomer):
    outcomes = list(newcomer.try_tables(TRIALS))
    assert [outcome.table for outcome in outcomes] == [trial.table for trial in TRIALS]
    assert [outcome.table for outcome in outcomes if not outcome.is_good] == []
    assert all(outcome.flagged_odd >= outcome.odd / 2 for outcome in outcomes)
