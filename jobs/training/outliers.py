"""Records that look unlike the others, as `train` lists them: their keys, and the values that stand out."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from detector.records.scorer import RecordScorer
from jobs.dialects import Dialect, dialect_of
from jobs.reading.source import Source, keys_of
from jobs.wording import cell
from schemas.frames import ANOMALY_SCORE
from schemas.keys import Key, KeyPart, key_label

MAX_OUTLIERS_LISTED = 20


def describe_outliers(scorer: RecordScorer, outliers: pd.DataFrame, source: Source) -> dict[str, Any]:
    """Return the entries of a card on outlying calibration records; empty if there are none."""
    if outliers.empty:
        return {}
    scores = scorer.score(outliers)[ANOMALY_SCORE].to_numpy()
    listed = (-scores).argsort(kind="stable")[:MAX_OUTLIERS_LISTED]
    values = _values_by_key(scorer, outliers.iloc[listed], scores[listed], source)
    keys = keys_of(outliers, source.monitor.key)
    return {"outliers": len(outliers), "outlying_records": values, "without_outliers": without_keys(keys, source)}


def describe_unusual(scorer: RecordScorer, training: pd.DataFrame, source: Source) -> dict[str, Any]:
    """Return the entries of a card on unusual training records; empty if the model has no estimate of them."""
    unusual = scorer.about.unusual
    if unusual is None:
        return {}
    records = training.iloc[list(unusual.positions)]
    scores = scorer.score(records)[ANOMALY_SCORE].to_numpy()
    return {
        "unusual_share": unusual.share,
        "unusual_records": _values_by_key(scorer, records, scores, source),
    }


def _values_by_key(scorer: RecordScorer, records: pd.DataFrame, scores: np.ndarray, source: Source) -> dict[str, str]:
    """Return the value that stands out in each record, by key, in the order of the records."""
    keys = keys_of(records, source.monitor.key)
    return {
        key_label(key): ", ".join(f"{cause.feature} = {cell(cause.value)}" for cause in explanation.causes)
        for key, explanation in zip(keys, scorer.explain(records, scores, 1), strict=True)
    }


def without_keys(keys: list[Key], source: Source) -> str:
    """Return the condition for `normal` in SQL, with the keys left out."""
    quote, dialect = source.engine.dialect.identifier_preparer.quote, dialect_of(source.engine)
    columns = [quote(name).replace("%%", "%") for name in source.monitor.key]
    if len(columns) == 1:
        condition = f"{columns[0]} NOT IN ({', '.join(_literal(key[0], dialect) for key in keys)})"
    else:
        matches = (
            " AND ".join(f"{name} = {_literal(part, dialect)}" for name, part in zip(columns, key, strict=True))
            for key in keys
        )
        condition = f"NOT ({' OR '.join(f'({match})' for match in matches)})"
    normal = source.monitor.normal
    return condition if normal is None else f"({normal}) AND {condition}"


def _literal(part: KeyPart, dialect: Dialect) -> str:
    return str(part) if isinstance(part, int | Decimal) else dialect.text_literal(str(part))
