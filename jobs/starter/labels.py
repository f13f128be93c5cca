"""Proposes the label of known anomalies, and which records are normal by it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from jobs.reading.table import WatchedColumn, WatchedTable
from jobs.starter.sample import Sample

_MAX_LABEL_TEXTS = 20
_MIN_LABELLED = 5  # labelled records that show that another column repeats the label
_MAX_ANOMALY_SHARE = 0.5

# Words of names.
_STRONG = re.compile(
    r"labels?|anomal(y|ies|ous)|outliers?|fraud(ulent)?|faults?|faulty|fail(s|ed|ure|ures)?|defects?|defective|"
    r"malignant|attack|intrusion|incident|abnormal|scrap|spam|malware|breakdown|broken|chargeback|suspicious|"
    r"rejected|target|groundtruth|truth|fehler|ausfall|betrug|defekt"
)
_COUNTED = re.compile(r"anomalies|outliers|faults|failures|fails|defects|rejects")
_WEAK = re.compile(r"class|y|outcome|result|response|churn(ed)?|default|verdict|diagnosis|(is_)?bad")
_LAST = re.compile(r"code|type|class|category|cat|reason|flag|found|id|kind|mode|name|status")
# Values.
_NORMAL = re.compile(
    r"normal|ok|good|none|no|n|benign|false|f|0|pass(ed)?|healthy|genuine|legit(imate)?|negative|nominal|clean|inlier|"
    r"nein|gut"
)


@dataclass(frozen=True)
class Labels:
    """The label and the columns that look like one.

    Attributes:
        label: the column that is true for known anomalies; None if there is none.
        normal: the SQL condition for normal records; None if no column has it.
        is_normal: (n,) whether each record of the sample is normal.
        share: of anomalies in the sample; None without a label.
        has_nulls: whether the label is null in a record.
        left_out: columns that must not be features, each with the reason.
    """

    label: str | None
    normal: str | None
    is_normal: "pd.Series[bool]"
    share: float | None
    has_nulls: bool
    left_out: dict[str, str]


@dataclass(frozen=True)
class _Candidate:
    """A column that looks like a label by its name."""

    column: WatchedColumn
    values: "pd.Series[Any]"

    @cached_property
    def is_binary(self) -> bool:
        """Whether its values are 0 and 1, or booleans."""
        return self.column.family in {"integer", "boolean", "unknown", "float", "decimal"} and bool(
            len(self.values) and self.values.isin([0, 1]).all()
        )

    @property
    def are_texts(self) -> bool:
        """Whether its values are texts."""
        return bool(len(self.values)) and all(isinstance(value, str) for value in self.values)

    @cached_property
    def normal_text(self) -> str | None:
        """The text that stands for a normal record; None if there is none."""
        texts = {str(value) for value in self.values if isinstance(value, str)}
        named = sorted(text for text in texts if _NORMAL.fullmatch(text.strip().lower()))
        return named[0] if len(named) == 1 and len(texts) <= _MAX_LABEL_TEXTS else None


def propose_labels(connection: Connection, sample: Sample, named: str | None, *taken: str | None) -> Labels:
    """Return the label and the columns that look like one.

    Args:
        connection: to quote names.
        sample: of the table.
        named: the label that the user names; None to find it.
        taken: columns with another role.
    """
    candidates = list(_candidates(sample, named, taken))
    label = next((c for c in candidates if c.column.name == named), None) or _best(candidates)
    texts = [] if label else [c for c in candidates if c.normal_text is not None]
    is_normal, normal = pd.Series(data=True, index=sample.records.index), ""
    if label is not None:
        is_normal = ~_is_set(sample.records[label.column.name])
        normal = _is_zero(connection, sample, label.column.name)
    elif texts:
        name, text = texts[0].column.name, str(texts[0].normal_text)
        is_normal = sample.records[name].eq(text) | sample.records[name].isna()
        normal = _is_text(connection, sample, name, text)
    chosen = None if label is None else label.column.name
    left_out = {c.column.name: _reason(c, chosen, texts[:1]) for c in candidates if c.column.name != chosen}
    if chosen is not None:
        repeats = _repeats(sample, is_normal.astype(bool), {chosen, *left_out, *taken})
        left_out |= dict.fromkeys(repeats, f"not 0 only if {chosen} is set, so it belongs to the label")
    share = float(1 - is_normal.mean()) if normal else None
    has_nulls = chosen is not None and sample.null_share(chosen) > 0
    return Labels(chosen, normal or None, is_normal.astype(bool), share, has_nulls, left_out)


def quoted(connection: Connection, name: str) -> str:
    """Return a column's name as SQL has it."""
    # SQLAlchemy's quoting doubles each %, for statements with parameters.
    return str(connection.dialect.identifier_preparer.quote(name).replace("%%", "%"))


def _candidates(sample: Sample, named: str | None, taken: tuple[str | None, ...]) -> Iterator[_Candidate]:
    for column in sample.columns(*taken):
        if sample.is_read(column.name):
            candidate = _Candidate(column, sample.present(column.name))
            if column.name == named or _looks_like_label(candidate):
                yield candidate


def _looks_like_label(candidate: _Candidate) -> bool:
    words = _words(candidate.column.name)
    is_strong = any(map(_STRONG.fullmatch, words))
    is_weak = _WEAK.fullmatch("_".join(words)) is not None
    if candidate.is_binary:
        return is_strong or is_weak
    if candidate.are_texts:
        return is_strong or (is_weak and candidate.normal_text is not None)
    if _COUNTED.fullmatch(words[-1]):  # 0, 1, 4, ...: how many there were
        return False
    is_judgement = _STRONG.fullmatch(words[-1]) or (_STRONG.fullmatch(words[0]) and _LAST.fullmatch(words[-1]))
    return is_weak or is_judgement is not None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word] or [name]


def _best(candidates: list[_Candidate]) -> _Candidate | None:
    """Return the first label that holds 0 and 1, most of them 0; else the first that holds only 0 and 1."""
    binary = [candidate for candidate in candidates if candidate.is_binary]
    mixed = [c for c in binary if 0 < (c.values != 0).mean() <= _MAX_ANOMALY_SHARE]
    return next(iter(mixed or binary), None)


def _reason(candidate: _Candidate, label: str | None, chosen: list[_Candidate]) -> str:
    if candidate in chosen:
        return "looks like a label: `normal` is chosen by it"
    if candidate.values.empty:
        return "looks like a label by its name, but is null in every record looked at"
    if label is not None:
        return f"looks like a label by its name, next to {label}"
    return "looks like a label by its name; as `label` it needs 0 and 1"


def _repeats(sample: Sample, is_normal: "pd.Series[bool]", taken: set[str | None]) -> list[str]:
    """Return columns of 0 and 1 that are 1 in labelled records alone."""
    return [
        column.name
        for column in sample.columns(*taken)
        if sample.is_read(column.name)
        and _Candidate(column, sample.present(column.name)).is_binary
        and not _is_set(sample.records[column.name][is_normal]).any()
        and _is_set(sample.records[column.name][~is_normal]).sum() >= _MIN_LABELLED
    ]


def _is_set(values: "pd.Series[Any]") -> "pd.Series[bool]":
    """Return whether each value is neither null nor 0."""
    return pd.Series([not pd.isna(value) and value != 0 for value in values], values.index, dtype="bool")


def _is_zero(connection: Connection, sample: Sample, name: str) -> str:
    table: WatchedTable = sample.table
    is_boolean = table.columns[name].family == "boolean" and table.dialect.has_boolean_type
    return _or_null(connection, sample, name, "false" if is_boolean else "0")


def _is_text(connection: Connection, sample: Sample, name: str, text: str) -> str:
    return _or_null(connection, sample, name, sample.table.dialect.text_literal(text))


def _or_null(connection: Connection, sample: Sample, name: str, value: str) -> str:
    column = quoted(connection, name)
    is_equal = f"{column} = {value}"
    return f"({is_equal} OR {column} IS NULL)" if sample.null_share(name) > 0 else is_equal
