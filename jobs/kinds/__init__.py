"""The kinds of model; `kind_of` is the only place that distinguishes them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from detector.core.model_card import ModelCard
from jobs.kinds.base import Kind
from jobs.kinds.records import RecordKind
from jobs.kinds.series import SeriesKind

if TYPE_CHECKING:
    from schemas.config import MonitorConfig

_RECORDS, _SERIES = RecordKind(), SeriesKind()
_BY_NAME: Mapping[str, Kind] = {_RECORDS.name: _RECORDS, _SERIES.name: _SERIES}


def kind_of(monitor: "MonitorConfig") -> Kind:
    """Return the kind of model that a monitor trains and scores with."""
    return _RECORDS if monitor.series is None else _SERIES


def kind_of_card(card: ModelCard) -> Kind:
    """Return the kind of model that a card describes; its monitor may be of another kind now."""
    return _BY_NAME[card.kind]


def card_from_json(card: Mapping[str, Any]) -> ModelCard:
    """Read the card of a model of either kind, in the form of this version or an earlier one."""
    return _BY_NAME[card.get("kind", _RECORDS.name)].read_card(card)
