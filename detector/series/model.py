"""SeriesModel: the models of many entities behind one interface."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from detector.core.vae_scores import Scored
from detector.series.alike import MIN_OWN_RECORDS, are_unlike
from detector.series.counters import CONTEXT_ROWS as COUNTER_ROWS
from detector.series.entity_model import Causes, EntityModel
from detector.series.fitting import Progress, fit_models
from detector.series.segments import take_rows
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from detector.series.settling import CONTEXT_ROWS as RECOVERY_ROWS
from detector.series.signal_weights import learned_signals
from detector.series.signals import CONTEXT_ROWS
from schemas.errors import RecordsError

SHARED = ""  # the name of the model that entities share: no entity has this name


class SeriesModel:
    """A model that scores records by the past of their entity; immutable.

    Args:
        entities: the models of entities that have their own.
        shared: the model of all entities together, or None.
        width: number of channels.
        settings: of the training.
    """

    def __init__(
        self, entities: Mapping[str, EntityModel], shared: EntityModel | None, width: int, settings: SeriesSettings
    ) -> None:
        self.entities = dict(entities)
        self.shared = shared
        self.width = width
        self.settings = settings

    @classmethod
    def fit(
        cls, series: Mapping[str, Series], settings: SeriesSettings | None = None, progress: Progress = None
    ) -> Self:
        """Fit a model to the normal records of entities; the same records give the same model.

        Args:
            series: the records of each entity.
            settings: None for the defaults.
            progress: called after each epoch of networks.

        Raises:
            NotEnoughRecords: If a model would have fewer than 50 records.
            RecordsError: If the entities differ in their channels, or there are none.
            ConfigError: If the training of networks diverges.
        """
        settings = settings or SeriesSettings()
        width = _common_width(series)
        runs_by_entity = {entity: _runs(records, settings) for entity, records in series.items()}
        fewest = _fewest(runs_by_entity, settings)
        runs_by_model = {entity: runs for entity, runs in runs_by_entity.items() if sum(map(len, runs)) >= fewest}
        if settings.models != "per_entity":
            runs_by_model[SHARED] = [run for runs in runs_by_entity.values() for run in runs]
        models = fit_models(runs_by_model, settings, progress)
        return cls(models, models.pop(SHARED, None), width, settings)

    @property
    def context_rows(self) -> int:
        """The largest number of earlier records of its entity that a record's score depends on."""
        models = [*self.entities.values(), *([self.shared] if self.shared else [])]
        rows = CONTEXT_ROWS + max(model.fusion.context_rows for model in models)
        rows += RECOVERY_ROWS if self.settings.recovery else 0
        rows += max(model.inputs.calendar.context_rows if model.inputs.calendar else 0 for model in models)
        return rows + COUNTER_ROWS if any(model.inputs.counters for model in models) else rows

    def has_own(self, entity: str) -> bool:
        """Return whether the entity is scored by its own model, not by the shared one."""
        return entity in self.entities

    def reference(self, entity: str) -> np.ndarray:
        """Return the scores (m,) of held-back normal records, which calibrate the entity's scores."""
        return self._model(entity).reference

    def signal_weights(self, entity: str) -> dict[str, float] | None:
        """Return the weight of each learned signal in the entity's scores; None if all count alike."""
        model = self._model(entity)
        factors = model.fusion.factors
        if factors is None:
            return None
        weights = {name: float(factors[place]) for place, name in learned_signals(model.signal_names).items()}
        return weights if set(weights.values()) != {1.0} else None

    def scores(self, entity: str, series: Series, newest: int | None = None) -> np.ndarray:
        """Return anomaly scores (n,), in the order of the records; see `scored`."""
        return self.scored(entity, series, newest).scores

    def scored(self, entity: str, series: Series, newest: int | None = None) -> Scored:
        """Return anomaly scores and VAE scores of the `newest` records, those at the end, or of all, in their order.

        A record's score equals its score in the whole history if the series has `context_rows` records before it, or
        begins with the entity's first record.

        Raises:
            RecordsError: If the entity has no model, or the number of channels differs from training.
        """
        model, ordered, position = self._prepare(entity, series)
        own = position if newest is None else position[len(series) - newest :]
        if not len(own):
            return Scored(np.zeros(0))
        first = int(own.min())
        runs = [rows for rows in ordered.runs(self.settings.max_gap) if rows.stop > first]
        parts = [model.scored(take_rows(ordered, rows), max(0, first - rows.start)) for rows in runs]
        return Scored.concatenate(parts).at(own - first)

    def deciles(self, entity: str, series: Series) -> np.ndarray:
        """Return the decile of each cell among the training records, (n, c); see `Deciles.assign`.

        Raises:
            RecordsError: If the entity has no model.
        """
        return self._model(entity).deciles.assign(entity, self.watched(entity, series))

    def is_counter(self, entity: str) -> np.ndarray:
        """Return whether each channel (c,) of an entity is a counter, which is watched by its increase."""
        counters = self._model(entity).inputs.counters
        return np.zeros(self.width, dtype=bool) if counters is None else counters.is_counter == 1

    def follows_calendar(self, entity: str) -> np.ndarray:
        """Return whether each channel (c,) of an entity is expected by the time of the week."""
        calendar = self._model(entity).inputs.calendar
        return np.zeros(self.width, dtype=bool) if calendar is None else calendar.is_used == 1

    def watched(self, entity: str, series: Series) -> Series:
        """Return the series with increases in place of the readings of counters, in the order of its records.

        Raises:
            RecordsError: If the entity has no model.
        """
        inputs = self._model(entity).inputs
        if inputs.counters is None:
            return series
        ordered, position = series.ordered()
        parts = [inputs.values(take_rows(ordered, rows)) for rows in ordered.runs(self.settings.max_gap)]
        return Series(series.times, np.concatenate(parts)[position])

    def causes(self, entity: str, series: Series) -> Causes:
        """Return the causes of the scores of records, in their order; the context is as for `scores`.

        Raises:
            RecordsError: As for `scores`.
        """
        model, ordered, position = self._prepare(entity, series)
        parts = [model.causes(take_rows(ordered, rows)) for rows in ordered.runs(self.settings.max_gap)]
        return Causes.concatenate(parts).at(position)

    def normal_band(self, entity: str, series: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return expected values, and the lower and the upper end of their normal band, each (n, c), in their order.

        Raises:
            RecordsError: As for `scores`.
        """
        model, ordered, position = self._prepare(entity, series)
        parts = [model.normal_band(take_rows(ordered, rows)) for rows in ordered.runs(self.settings.max_gap)]
        expected, low, high = (np.concatenate(columns)[position] for columns in zip(*parts, strict=True))
        return expected, low, high

    def to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays by name, and a manifest of JSON values."""
        arrays = {
            f"{index}/{name}": array
            for index, model in enumerate(self._models().values())
            for name, array in model.to_state().items()
        }
        return arrays, {"settings": self.settings.to_state(), "width": self.width, "models": list(self._models())}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """Return the model of a state that `to_state` wrote."""
        settings = SeriesSettings.from_state(manifest["settings"])
        models = {name: _load_model(index, arrays, settings) for index, name in enumerate(manifest["models"])}
        return cls(models, models.pop(SHARED, None), manifest["width"], settings)

    def _models(self) -> dict[str, EntityModel]:
        return self.entities | ({SHARED: self.shared} if self.shared else {})

    def _model(self, entity: str) -> EntityModel:
        model = self.entities.get(entity, self.shared)
        if model is None:
            raise RecordsError(
                f"Entity {entity!r} was not in the training records, and there is no shared model. "
                f'Train with `models` = "auto" or "shared", or leave the entity out.'
            )
        return model

    def _prepare(self, entity: str, series: Series) -> tuple[EntityModel, Series, np.ndarray]:
        if series.values.shape[1] != self.width:
            raise RecordsError(
                f"Records of entity {entity!r} have {series.values.shape[1]} channels, expected {self.width} as in "
                "training. Check `numeric` of the monitor in config.toml."
            )
        return self._model(entity), *series.ordered()


def _common_width(series: Mapping[str, Series]) -> int:
    widths = {records.values.shape[1] for records in series.values()}
    if len(widths) != 1 or SHARED in series:
        raise RecordsError(
            f"Training needs named entities with the same channels, received {len(series)} entities with "
            f"{sorted(widths)} channels. Use a monitor of its own for entities with other channels."
        )
    return widths.pop()


def _runs(series: Series, settings: SeriesSettings) -> list[Series]:
    ordered, _ = series.ordered()
    return [take_rows(ordered, rows) for rows in ordered.runs(settings.max_gap)]


def _fewest(runs: Mapping[str, Sequence[Series]], settings: SeriesSettings) -> float:
    """Return the number of records from which an entity has a model of its own."""
    if settings.models != "auto":
        return 0 if settings.models == "per_entity" else math.inf
    return min(settings.fewest, MIN_OWN_RECORDS) if len(runs) > 1 and are_unlike(runs) else settings.fewest


def _load_model(index: int, arrays: Mapping[str, np.ndarray], settings: SeriesSettings) -> EntityModel:
    prefix = f"{index}/"
    state = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return EntityModel.from_state(state, settings)
