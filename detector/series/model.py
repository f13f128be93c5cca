"""SeriesModel: the models of many entities behind one face."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from detector.series.entity_model import Causes, EntityModel
from detector.series.fitting import Progress, fit_models
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from detector.series.signal_weights import learned_views
from detector.series.signals import CONTEXT
from schemas.errors import RecordsError

SHARED = ""  # the name under which the model of all entities is kept: no entity is called so


class SeriesModel:
    """Scores records of entities by their past. It holds no state but what training left.

    Args:
        entities: a model for each entity that has its own.
        shared: the model of all entities together, where there is one.
        width: how many channels a record has.
        settings: as given to training.
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
        """The model of normal records of entities; the same records give the same model.

        Args:
            series: the records of each entity.
            settings: the defaults where absent.
            progress: called after each epoch of networks.

        Raises:
            NotEnoughRecords: where a model would have fewer than 50 records.
            RecordsError: where entities differ in channels, or there is none.
            ConfigError: where the training of networks diverges.
        """
        settings = settings or SeriesSettings()
        width = _common_width(series)
        runs = {entity: _runs(one, settings) for entity, one in series.items()}
        wanted = {entity: own for entity, own in runs.items() if _has_own(sum(map(len, own)), settings)}
        if settings.models != "per_entity":
            wanted[SHARED] = [run for of_entity in runs.values() for run in of_entity]
        models = fit_models(wanted, settings, progress)
        return cls(models, models.pop(SHARED, None), width, settings)

    @property
    def context_rows(self) -> int:
        """How many earlier records of its entity a record's score depends on, at most."""
        models = [*self.entities.values(), *([self.shared] if self.shared else [])]
        return CONTEXT + max(model.fusion.context_rows for model in models)

    def has_own(self, entity: str) -> bool:
        """Whether the entity is scored by a model of its own, not by the shared one."""
        return entity in self.entities

    def reference(self, entity: str) -> np.ndarray:
        """(m,) scores of held-back normal records, to calibrate the entity's scores by."""
        return self._model(entity).reference

    def view_weights(self, entity: str) -> dict[str, float] | None:
        """How much each learned view counts in the entity's scores; None where all count alike."""
        weights = self._model(entity).fusion.weights
        if weights is None:
            return None
        return {name: float(weights[view]) for view, name in learned_views(len(weights)).items()}

    def scores(self, entity: str, series: Series) -> np.ndarray:
        """(n,) anomaly scores, in the order of the records.

        Scores are those of the whole history where the first record to be used has `context_rows` records before it,
        or is the entity's first.

        Raises:
            RecordsError: where the entity has no model, or the channels are not those of training.
        """
        model, ordered, position = self._prepare(entity, series)
        parts = [model.scores(ordered.values[rows]) for rows in ordered.runs(self.settings.max_gap)]
        return np.concatenate(parts)[position] if len(series) else np.zeros(0)

    def deciles(self, entity: str, series: Series) -> np.ndarray:
        """(n, c) where cells lie among those of training, as `Deciles.places`.

        Raises:
            RecordsError: where the entity has no model.
        """
        return self._model(entity).deciles.places(entity, series)

    def causes(self, entity: str, series: Series) -> Causes:
        """Why records are unusual, in their order; with context as for `scores`.

        Raises:
            RecordsError: as for `scores`.
        """
        model, ordered, position = self._prepare(entity, series)
        parts = [model.causes(ordered.values[rows]) for rows in ordered.runs(self.settings.max_gap)]
        return Causes(
            *(
                np.concatenate([getattr(part, name) for part in parts])[position]
                for name in ("share", "deviation", "expected", "is_return")
            )
        )

    def to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays by name, and a manifest of JSON values."""
        arrays = {
            f"{index}/{name}": array
            for index, model in enumerate(self._all().values())
            for name, array in model.to_state().items()
        }
        return arrays, {"settings": self.settings.to_state(), "width": self.width, "models": list(self._all())}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """The model that gave the state."""
        settings = SeriesSettings.from_state(manifest["settings"])
        models = {name: _model(index, arrays, settings) for index, name in enumerate(manifest["models"])}
        return cls(models, models.pop(SHARED, None), manifest["width"], settings)

    def _all(self) -> dict[str, EntityModel]:
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
    widths = {one.values.shape[1] for one in series.values()}
    if len(widths) != 1 or SHARED in series:
        raise RecordsError(
            f"Training needs named entities with the same channels, received {len(series)} entities with "
            f"{sorted(widths)} channels. Train those that differ apart."
        )
    return widths.pop()


def _runs(series: Series, settings: SeriesSettings) -> list[np.ndarray]:
    ordered, _ = series.ordered()
    return [ordered.values[rows] for rows in ordered.runs(settings.max_gap)]


def _has_own(records: int, settings: SeriesSettings) -> bool:
    return settings.models == "per_entity" or (settings.models == "auto" and records >= settings.fewest)


def _model(index: int, arrays: Mapping[str, np.ndarray], settings: SeriesSettings) -> EntityModel:
    prefix = f"{index}/"
    state = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return EntityModel.from_state(state, settings)
