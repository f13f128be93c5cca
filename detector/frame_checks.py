"""Frames that `VAEDetector` cannot learn from are refused by name, before anything else fails on them."""

from collections.abc import Iterable

import pandas as pd

from schemas.errors import RecordsError


def refuse_repeated_columns(records: pd.DataFrame) -> None:
    """Check that each column has a name of its own, on one level.

    Raises:
        RecordsError: If two columns share a name, or the columns have several levels.
    """
    if records.columns.nlevels > 1:
        raise RecordsError(
            f"The columns of the frame have {records.columns.nlevels} levels, expected one. Flatten them, for example: "
            "records.columns = ['_'.join(map(str, names)) for names in records.columns]"
        )
    repeated = records.columns[records.columns.duplicated()].unique().tolist()
    if repeated:
        raise RecordsError(
            f"The frame has more than one column with each of the names {repeated}. Rename or drop all but one."
        )


def refuse_nested_values(records: pd.DataFrame, names: Iterable[str]) -> None:
    """Check that columns hold single values.

    Raises:
        RecordsError: If a value is a list, a dict, an array or the like, or a complex number.
    """
    for name in names:
        values = records[name]
        if pd.api.types.is_complex_dtype(values):
            raise RecordsError(f"Column {name!r} holds complex numbers. Split it into columns of real numbers.")
        if values.dtype.kind != "O" or isinstance(values.dtype, pd.StringDtype | pd.CategoricalDtype):
            continue
        nested = next((value for value in values if pd.api.types.is_list_like(value)), None)
        if nested is not None:
            raise RecordsError(
                f"Column {name!r} holds a {type(nested).__name__} in a record, expected single values such as numbers "
                "and texts. Leave the column out, or make columns of single values of it."
            )
