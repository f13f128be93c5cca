"""The map of a model: its newest and its flagged records where the latents place them, coloured by score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from jobs.api.scoring import scored_in_turn
from jobs.api.service_view import ServiceView
from jobs.reading.source import keys_of
from jobs.scoring.learned_features import learned_features
from jobs.store import AnomalyQuery, StoredAnomaly, StoredModel
from schemas.errors import UsageError
from schemas.frames import SEVERITY, Features
from schemas.keys import key_label

if TYPE_CHECKING:
    import pandas as pd

    from detector.records.model import Model
    from detector.records.scorer import RecordScorer
    from jobs.reading.source import Source

WIDTH, HEIGHT = 900.0, 560.0
MAX_MAPS = 16
_MAX_RECORDS, _MAX_FLAGGED, _MAX_SYNTHETIC, _MAX_REFERENCE = 500, 150, 200, 500
_REACHES = (3.0, 40.0)  # standard deviations at the edge of the map, at least and at most
_MARGIN = 0.95
_SEED = 0
Place: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class MapRecord:
    """A record in the map; its row in the store if it is flagged."""

    place: Place
    key: str
    severity: float
    flagged: StoredAnomaly | None


@dataclass(frozen=True)
class ModelMap:
    """The places of records in a map.

    Attributes:
        variance_share: share of the variance of the latents that the map shows.
        reference: places of normal records that the model learned from.
        records: the newest records, and the newest flagged ones, which come last.
        synthetic: places of records that the model generated.
    """

    variance_share: float
    reference: Sequence[Place]
    records: Sequence[MapRecord]
    synthetic: Sequence[Place]


def model_map(service: ServiceView, model: StoredModel, *, with_synthetic: bool) -> ModelMap:
    """Return the map of a champion, reading and scoring a bounded number of records without storing anything.

    Raises:
        UsageError: If the model is not the champion, or scores series.
        SourceError: If the table cannot be read.
    """
    from detector.records.latent_map import LatentMap

    scorer = _record_scorer(service, model)
    drawn = LatentMap.of(scorer.model)
    flagged = service.store.anomalies.page(AnomalyQuery(monitor=model.monitor, limit=_MAX_FLAGGED))
    with service.open_source(model.monitor) as source:
        features = learned_features(service.store, model.id, source.monitor)
        source.watch(features)
        records = _read(source, [row.record_key for row in flagged])
        keys = [key_label(key) for key in keys_of(records, source.monitor.key)]
    places = drawn.coordinates(scorer.model, records) if len(records) else np.zeros((0, 2))
    reference = drawn.reference[:: max(1, len(drawn.reference) // _MAX_REFERENCE)]
    reach = float(np.clip(np.abs(np.concatenate([places, reference])).max(), *_REACHES))
    synthetic = drawn.coordinates(scorer.model, _sample(scorer.model, features)) if with_synthetic else ()
    return ModelMap(
        variance_share=drawn.variance_share,
        reference=_places(reference, reach),
        records=_map_records(scorer, records, keys, _places(places, reach), {row.record_key: row for row in flagged}),
        synthetic=_places(synthetic, reach),
    )


def _record_scorer(service: ServiceView, model: StoredModel) -> "RecordScorer":
    from detector.records.scorer import RecordScorer

    champion, scorer = service.scorer_for(model.monitor)
    if champion != model.id:
        raise UsageError(f"Model {model.id} is not the champion, which alone has a map. Open model {champion}.")
    if not isinstance(scorer, RecordScorer):
        raise UsageError(f"Model {model.id} scores series, which have no map of single records.")
    return scorer


def _read(source: "Source", flagged: Sequence[str]) -> "pd.DataFrame":
    """Return the newest records and the flagged ones that still exist, each once."""
    import pandas as pd

    keys = source.labelled_keys(flagged)
    records = pd.concat([source.read_newest(_MAX_RECORDS, []), source.read_keys(keys, [])], ignore_index=True)
    return records.drop_duplicates(subset=list(source.monitor.key), ignore_index=True)


def _sample(model: "Model", features: Features) -> "pd.DataFrame":
    """Return synthetic records, without their times: generated ones are texts, which cannot be encoded again."""
    import pandas as pd

    sample = model.sample(_MAX_SYNTHETIC, np.random.default_rng(_SEED))
    missing = pd.Series(pd.NaT, index=sample.index, dtype="datetime64[us, UTC]")
    return sample.assign(**dict.fromkeys(features.holding("time"), missing))


def _map_records(
    scorer: "RecordScorer",
    records: "pd.DataFrame",
    keys: Sequence[str],
    places: Sequence[Place],
    flagged: "dict[str, StoredAnomaly]",
) -> list[MapRecord]:
    if not len(records):
        return []
    severities = scored_in_turn(scorer, records)[SEVERITY]
    shown = [
        MapRecord(place, key, float(severity), flagged.get(key))
        for place, key, severity in zip(places, keys, severities, strict=True)
    ]
    return sorted(shown, key=lambda record: (record.flagged is not None, record.severity))


def _places(coordinates: Any, reach: float) -> list[Place]:
    """Return places in the picture: linear near the centre, and by the logarithm of the distance far from it."""
    if not len(coordinates):
        return []
    shares = np.clip(_MARGIN * np.arcsinh(np.asarray(coordinates)) / np.arcsinh(reach), -1, 1)
    return [(round(WIDTH / 2 * (1 + x), 1), round(HEIGHT / 2 * (1 - y), 1)) for x, y in shares.tolist()]
