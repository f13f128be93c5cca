"""The calibration records that look unlike the others, as `train` lists them: key, value, and how to leave them out."""

from decimal import Decimal
from typing import Any

import pandas as pd

from detector.records.scorer import RecordScorer
from jobs.reading.source import Source, keys_of
from jobs.wording import cell
from schemas.frames import ANOMALY_SCORE
from schemas.keys import Key, KeyPart, key_label

MAX_OUTLIERS_LISTED = 20


def describe_outliers(scorer: RecordScorer, outliers: pd.DataFrame, source: Source) -> dict[str, Any]:
    """Return the entries of a card on outlying calibration records; empty if there are none."""
    if outliers.empty:
        return {}
    keys = keys_of(outliers, source.monitor.key)
    scores = scorer.score(outliers)[ANOMALY_SCORE].to_numpy()
    listed = (-scores).argsort(kind="stable")[:MAX_OUTLIERS_LISTED]
    causes = scorer.explain(outliers.iloc[listed], scores[listed], 1)
    values = {
        key_label(keys[place]): ", ".join(f"{cause.feature} = {cell(cause.value)}" for cause in explanation.causes)
        for place, explanation in zip(listed.tolist(), causes, strict=True)
    }
    return {"outliers": len(outliers), "outlying_records": values, "without_outliers": without_keys(keys, source)}


def without_keys(keys: list[Key], source: Source) -> str:
    """Return the condition for `normal` in SQL, with the keys left out."""
    quote = source.engine.dialect.identifier_preparer.quote
    columns = [quote(name).replace("%%", "%") for name in source.monitor.key]
    if len(columns) == 1:
        condition = f"{columns[0]} NOT IN ({', '.join(_literal(key[0]) for key in keys)})"
    else:
        matches = (
            " AND ".join(f"{name} = {_literal(part)}" for name, part in zip(columns, key, strict=True)) for key in keys
        )
        condition = f"NOT ({' OR '.join(f'({match})' for match in matches)})"
    normal = source.monitor.normal
    return condition if normal is None else f"({normal}) AND {condition}"


def _literal(part: KeyPart) -> str:
    if isinstance(part, int | Decimal):
        return str(part)
    return "'" + str(part).replace("'", "''") + "'"
