"""The row of a flagged record in the watched table: its cells, the nearest normal records, and what-if scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams

from jobs import wording
from jobs.api.problems import RecordFault, UnfitRecords
from jobs.api.scoring import RecordScore, scores_of, to_frame
from jobs.api.service_view import ServiceView
from jobs.reading.context import in_context
from jobs.scoring.learned_features import learned_features
from jobs.store import StoredAnomaly
from jobs.store.writing import json_ready
from schemas.frames import Features, Form

if TYPE_CHECKING:
    import pandas as pd

    from detector.core.scorer import Scorer
    from detector.records.nearest_records import NearestRecord
    from jobs.reading.source import Source

_PREFIX = "cell:"  # of the fields of features, which may have any name
_MAX_CHARACTERS = 255  # of an edited cell
_MAX_CHARACTERS_SHOWN = 200  # of a column that is no feature
_NEAREST = 5
_TRUTHS = {"yes": True, "no": False}


@dataclass(frozen=True)
class FeatureCell:
    """A cell of a record as a field of a form.

    Attributes:
        feature: its column.
        form: what the column holds.
        text: the recorded value as text; empty if it is null.
        edited: the text in the form.
    """

    feature: str
    form: Form
    text: str
    edited: str

    @property
    def field(self) -> str:
        """Name of the field."""
        return _PREFIX + self.feature

    @property
    def is_edited(self) -> bool:
        """Whether the form has another value than the table."""
        return self.edited != self.text

    @property
    def value(self) -> Any:
        """The text in the form as a value of JSON; a text that is no such value stays one, and is refused later."""
        if not self.edited:
            return None
        if self.form == "truth":
            return _TRUTHS.get(self.edited, self.edited)
        return _number(self.edited) if self.form == "number" else self.edited


@dataclass(frozen=True)
class RecordInTable:
    """A flagged record in its table, scored now by the champion.

    Attributes:
        row: every column of the table.
        cells: the features.
        model_id: of the champion.
        threshold: that the record was flagged by, if the champion flagged it; None if no score is an anomaly.
        now: the score of the recorded values.
        edited: the score of the edited values; None if none is edited, or one does not fit.
        faults: edited values that do not fit.
        nearest: normal records that the model learned from; empty if it keeps none.
    """

    row: Mapping[str, Any]
    cells: Sequence[FeatureCell]
    model_id: int
    threshold: float | None
    now: RecordScore
    edited: RecordScore | None
    faults: Sequence[RecordFault]
    nearest: "Sequence[NearestRecord]"

    @property
    def cells_by_share(self) -> list[FeatureCell]:
        """The features, those that the score is due to first."""
        order = [cause.feature for cause in self.now.attribution]
        return sorted(self.cells, key=lambda cell: order.index(cell.feature) if cell.feature in order else len(order))

    @property
    def other_columns(self) -> dict[str, str]:
        """The columns of the row that are no features, as text."""
        features = {cell.feature for cell in self.cells}
        return {name: _shown(value) for name, value in self.row.items() if name not in features}


def record_in_table(service: ServiceView, anomaly: StoredAnomaly, query: QueryParams) -> RecordInTable | None:
    """Return a record in its table with its edits, without storing anything; None if its row no longer exists.

    Raises:
        NoChampion: If the monitor has no model.
        SourceError: If the table cannot be read.
    """
    model_id, scorer = service.scorer_for(anomaly.monitor)
    features = learned_features(service.store, model_id, service.config.monitor(anomaly.monitor))
    with service.open_source(anomaly.monitor) as source:
        source.watch(features)
        row, record = source.read_row(anomaly.record_key), source.read_keys(source.labelled_keys([anomaly.record_key]))
        if row is None or record.empty:
            return None
        cells = _cells(record, features, query)
        edited, faults = _edited(record, features, cells, anomaly.monitor)
        scored = [_score(scorer, frame, source) for frame in (record, edited) if frame is not None]
    return RecordInTable(
        row=row,
        cells=cells,
        model_id=model_id,
        threshold=anomaly.threshold if anomaly.model_id == model_id else scored[0].threshold,
        now=scored[0],
        edited=scored[1] if len(scored) > 1 else None,
        faults=faults,
        nearest=_nearest(scorer, record),
    )


def _cells(record: "pd.DataFrame", features: Features, query: QueryParams) -> list[FeatureCell]:
    forms: tuple[Form, ...] = ("number", "truth", "text", "time")
    form_of = {name: form for form in forms for name in features.holding(form)}
    cells = []
    for name in features.names:
        text = _text(json_ready(record[name].iloc[0]))
        sent = query.get(_PREFIX + name, text).strip()
        is_recorded = sent in {text.strip(), wording.visible(text).strip()}  # the form shows the latter
        cells.append(FeatureCell(name, form_of[name], text, text if is_recorded else sent[:_MAX_CHARACTERS]))
    return cells


def _edited(
    record: "pd.DataFrame", features: Features, cells: Sequence[FeatureCell], monitor: str
) -> "tuple[pd.DataFrame | None, Sequence[RecordFault]]":
    """Return the record with its edited cells, or the values that do not fit; neither if nothing is edited."""
    changed = [cell for cell in cells if cell.is_edited]
    if not changed:
        return None, ()
    try:
        frame = to_frame(monitor, features, [{cell.feature: cell.value for cell in cells}])
    except UnfitRecords as exc:
        return None, exc.faults
    values = {cell.feature: frame[cell.feature].set_axis(record.index) for cell in changed}
    return record.assign(**values), ()


def _score(scorer: "Scorer", record: "pd.DataFrame", source: "Source") -> RecordScore:
    return scores_of(in_context(scorer, record, source), record, source.monitor.top_features)[0]


def _nearest(scorer: "Scorer", record: "pd.DataFrame") -> "Sequence[NearestRecord]":
    from detector.records.nearest_records import nearest_records
    from detector.records.scorer import RecordScorer

    return nearest_records(scorer.model, record, _NEAREST) if isinstance(scorer, RecordScorer) else ()


def _text(value: Any) -> str:
    """Return a value of JSON as the text of a field, without loss."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _shown(value: Any) -> str:
    """Return a value of any type of a database for people, not longer than a line or two.

    >>> _shown(2614), _shown(2614.5), _shown(True)
    ('2614', '2,614.5', 'yes')
    """
    if isinstance(value, bytes | memoryview):
        return f"{len(bytes(value)):,} bytes"
    is_whole = isinstance(value, int) and not isinstance(value, bool)  # an id or a year, which has no thousands
    text = str(value) if is_whole else wording.cell(value)
    return text if len(text) <= _MAX_CHARACTERS_SHOWN else text[:_MAX_CHARACTERS_SHOWN] + "..."


def _number(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
