"""The option `--columns` of lists."""

from dataclasses import fields
from types import SimpleNamespace

import click
import pytest

from jobs.commands.columns import ANOMALY_COLUMNS, RANKED_COLUMNS, ColumnList, cells_of
from jobs.ranking import RankedRecord
from jobs.store import StoredAnomaly


@pytest.mark.parametrize(("columns", "row"), [(ANOMALY_COLUMNS, StoredAnomaly), (RANKED_COLUMNS, RankedRecord)])
def test_every_column_is_an_attribute_of_the_rows(columns, row):
    assert set(columns) <= {field.name for field in fields(row)} | {"threshold_ratio"}
    assert {"reconstruction_error", "elbo"} <= set(columns)


def test_columns_keep_the_order_in_which_they_are_given():
    assert ColumnList(ANOMALY_COLUMNS).convert("elbo, record_key", None, None) == ("elbo", "record_key")


def test_a_wrong_column_is_answered_with_the_nearest_one():
    with pytest.raises(click.BadParameter, match=r"no column 'elb'\. Did you mean 'elbo'\? Use some of: id, monitor,"):
        ColumnList(ANOMALY_COLUMNS).convert("record_key,elb", None, None)


def test_ids_are_texts_and_flags_that_are_not_set_are_empty():
    row = SimpleNamespace(id=1_234_567, elbo=-1.5, is_muted=False, is_anomaly=True, entity=None)
    assert cells_of(row, ("id", "elbo", "is_muted", "is_anomaly", "entity")) == ("1234567", -1.5, None, "yes", None)
