"""VAEDetector: the scikit-learn interface of the library."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from detector.core.blob import digest
from detector.core.category_texts import number_text
from detector.frame_checks import refuse_nested_values, refuse_repeated_columns
from detector.records.artifact import Artifact, dump_artifact, load_artifact
from detector.records.copies import is_copy
from detector.records.feature_types import FEATURE_TYPES, type_by_dtype
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords, calibration_size, calibration_split
from detector.records.scorer import RecordScorer
from schemas.config import ModelConfig
from schemas.errors import MissingColumns
from schemas.frames import Features

DEFAULT_RATE = 0.01
MAX_AUTO_RATE = 0.5


class VAEDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Anomaly detector for records of mixed types, trained on normal records.

    Args:
        score_name: the anomaly score that decides; see docs/method.md. (scikit-learn keeps `score` for a method.)
        false_positive_rate: share of normal records that `predict` may flag. "auto" is 1 %, or the rate at which
            one calibration record is flagged if that is more.
        threshold: "conformal" (by rank) or "pot" (with a generalised Pareto tail, for rates below the ranks).
        categorical, boolean, timestamp: columns of a DataFrame that are not numeric; other columns have the type of
            their dtype (text and category, bool, datetime). Arrays are numeric throughout. In a categorical column
            1 and 1.0 are one category, since a single null turns a column of integers into floats.
        kind: "vae", or "autoencoder" for the plain baseline.
        members, hidden, latent, beta, steps, batch_size, neighbours, max_reference, trim: hyper-parameters, described
            in `schemas.config.ModelConfig`.
        trust_outliers: whether calibration records whose scores lie far above the others set the threshold too.
        random_state: seed of all randomness in training.

    Attributes:
        artifact_: the trained model as data.
        false_positive_rate_: the false-positive rate of the threshold.
        n_outliers_: number of calibration records that did not set the threshold, as their scores lie far above the
            others.
        n_copies_: number of records left out of the training as copies of others.
        offset_: `decision_function` is `score_samples` less `offset_`.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> detector = VAEDetector(members=2, steps=20, false_positive_rate=0.05).fit(X)
        >>> detector.predict(np.array([[0.0, 0.0, 0.0], [25.0, -25.0, 25.0]])).tolist()
        [1, -1]
    """

    _is_order_unknown = False

    def __init__(  # noqa: PLR0913 - scikit-learn requires each hyper-parameter by name
        self,
        *,
        score_name: str = "ensemble",
        false_positive_rate: float | Literal["auto"] = "auto",
        threshold: Literal["conformal", "pot"] = "conformal",
        categorical: Sequence[str] | None = None,
        boolean: Sequence[str] | None = None,
        timestamp: Sequence[str] | None = None,
        kind: str = "vae",
        members: int = 6,
        hidden: int = 64,
        latent: int | None = None,
        beta: float = 1.0,
        steps: int = 500,
        batch_size: int = 128,
        neighbours: int = 10,
        max_reference: int = 10_000,
        trim: float = 0.0,
        trust_outliers: bool = False,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.score_name = score_name
        self.false_positive_rate = false_positive_rate
        self.threshold = threshold
        self.categorical = categorical
        self.boolean = boolean
        self.timestamp = timestamp
        self.kind = kind
        self.members = members
        self.hidden = hidden
        self.latent = latent
        self.beta = beta
        self.steps = steps
        self.batch_size = batch_size
        self.neighbours = neighbours
        self.max_reference = max_reference
        self.trim = trim
        self.trust_outliers = trust_outliers
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803, ARG002
        """Train on normal records, except for a random fifth, which calibrates.

        If the same measurements are stored several times, one record of each is used.

        Args:
            X: DataFrame of mixed types or array (n, d) of normal records; nulls allowed.
            y: ignored.
        """
        records = self._records(X, is_fit=True)
        features = self._features(records)
        is_repeated = is_copy(records, features)
        self.n_copies_ = int(is_repeated.sum())
        records = records[~is_repeated]
        rate = None if self.false_positive_rate == "auto" else self.false_positive_rate
        n_calibration = calibration_size(len(records), rate)
        self.false_positive_rate_ = rate or float(np.clip(2 / (n_calibration + 1), DEFAULT_RATE, MAX_AUTO_RATE))
        config = self._config()
        training, calibration = calibration_split(len(records), n_calibration, config.seed, latest=False)
        artifact = fit_artifact(
            NormalRecords(records.iloc[training], records.iloc[calibration], is_drawn=True),
            features,
            config,
            rule=DecisionRule(self.threshold, self.false_positive_rate_, trusts_outliers=self.trust_outliers),
        )
        self.n_outliers_ = len(artifact.about.get("outlying", ()))
        return self._adopt(replace(artifact, about=artifact.about | {_PARAMETERS: self._other_parameters()}))

    def anomaly_score(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the anomaly score (n,) float64; higher is more anomalous."""
        return self._fitted().model.anomaly_score(self._records(X))

    def anomaly_scores(self, X: Any, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:  # noqa: N803
        """Return the anomaly scores (n,) float64 by name, all of them by default."""
        return self._fitted().model.anomaly_scores(self._records(X), names)

    def p_value(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the share of normal records at least as anomalous, (n,) in (0, 1]."""
        return self._fitted().artifact.calibration.p_values(self.anomaly_score(X))

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the negative anomaly score (n,), which is scikit-learn's sign."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return (n,) numbers that are negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return (n,) -1 for anomalies at `false_positive_rate_`, 1 for normal records."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def reconstruct(self, X: Any) -> pd.DataFrame:  # noqa: N803
        """Return the records as the model reconstructs them; missing values are imputed."""
        return self._fitted().model.reconstruct(self._records(X))

    def encode(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return posterior means (n, l): a map of the records."""
        return self._fitted().model.encode(self._records(X))

    def sample(self, n: int, random_state: int = 0) -> pd.DataFrame:
        """Generate n synthetic normal records."""
        return self._fitted().model.sample(n, np.random.default_rng(random_state))

    def attribution(self, X: Any) -> pd.DataFrame:  # noqa: N803
        """Return the share of each feature (n, f); a record's shares sum to its anomaly score."""
        records, model = self._records(X), self._fitted().model
        share = model.attribution(records, model.anomaly_score(records)).share
        return pd.DataFrame(share, columns=model.encoder.names, index=records.index)

    def to_bytes(self) -> bytes:
        """Return the trained model as a blob of data: safetensors and JSON."""
        self._fitted()
        return dump_artifact(self.artifact_)

    @classmethod
    def from_bytes(cls, blob: bytes, sha256: str | None = None) -> Self:
        """Return the detector that `to_bytes` wrote.

        Args:
            blob: the result of `to_bytes`.
            sha256: the digest recorded when the blob was written; without one, only the content is checked.

        Raises:
            ArtifactError: If the blob is damaged or was changed.
        """
        artifact = load_artifact(blob, sha256 or digest(blob))
        config = artifact.config
        parameters = {name: getattr(config, name) for name in _CONFIG_PARAMETERS}
        others = artifact.about.get(_PARAMETERS, {})  # only artifacts of `VAEDetector` have them
        parameters |= {name: others[name] for name in _OTHER_PARAMETERS if name in others}
        detector = cls(random_state=config.seed, score_name=config.score, **parameters)
        detector.false_positive_rate_ = artifact.decision.rate or DEFAULT_RATE
        names = artifact.encoder.names
        detector._is_order_unknown = _FEATURE_NAMES not in others
        detector.feature_names_in_ = np.array(others.get(_FEATURE_NAMES) or names, dtype=object)
        detector.n_features_in_ = len(artifact.encoder.columns)
        return detector._adopt(artifact)

    def _adopt(self, artifact: Artifact) -> Self:
        self.artifact_ = artifact
        self._scorer = RecordScorer(artifact)
        self.offset_ = -artifact.decision.threshold
        return self

    def _fitted(self) -> RecordScorer:
        check_is_fitted(self, "artifact_")
        return self._scorer

    def _config(self) -> ModelConfig:
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        parameters = {name: getattr(self, name) for name in _CONFIG_PARAMETERS}
        return ModelConfig(seed=int(seed), score=self.score_name, **parameters)

    def _other_parameters(self) -> dict[str, Any]:
        """Return the parameters that are not in the model's configuration, as JSON values."""
        parameters = {name: getattr(self, name) for name in _OTHER_PARAMETERS}
        names = getattr(self, "feature_names_in_", None)
        return {_FEATURE_NAMES: None if names is None else list(names)} | {
            name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for name, value in parameters.items()
        }

    def _records(self, X: Any, *, is_fit: bool = False) -> pd.DataFrame:  # noqa: N803
        if isinstance(X, pd.DataFrame):
            X = self._checked_frame(X, is_fit=is_fit)  # noqa: N806
        is_mixed = isinstance(X, pd.DataFrame) and not _is_numeric(X)
        records = self._mixed(X, is_fit=is_fit) if is_mixed else self._numbers(X, is_fit=is_fit)
        return _with_whole_codes(records, self._features(records).categorical if is_fit else self._nominal())

    def _checked_frame(self, records: pd.DataFrame, *, is_fit: bool) -> pd.DataFrame:
        """Return the frame; in the model's own order if an artifact of an earlier version did not keep another."""
        refuse_repeated_columns(records)
        names = None if is_fit else getattr(self, "feature_names_in_", None)
        known = list(records.columns) if names is None else [name for name in names if name in records.columns]
        refuse_nested_values(records, known)
        if names is None or not self._is_order_unknown or set(names) != set(records.columns):
            return records
        return records[list(names)]

    def _nominal(self) -> list[str]:
        """Return the features that the model has learned as categories."""
        return [column.name for column in self._fitted().artifact.encoder.columns if column.is_nominal]

    def _numbers(self, X: Any, *, is_fit: bool) -> pd.DataFrame:  # noqa: N803
        minimum = 2 if is_fit else 1
        array = validate_data(
            self, X, reset=is_fit, dtype="numeric", ensure_all_finite=False, ensure_min_samples=minimum
        )
        names = getattr(self, "feature_names_in_", None)
        columns = [f"x{i}" for i in range(array.shape[1])] if names is None else list(names)
        return pd.DataFrame(np.asarray(array, dtype=np.float64), columns=columns)

    def _mixed(self, records: pd.DataFrame, *, is_fit: bool) -> pd.DataFrame:
        if is_fit:
            self.feature_names_in_ = np.array(records.columns, dtype=object)
            self.n_features_in_ = records.shape[1]
        missing = set(self.feature_names_in_) - set(records.columns)
        if missing:
            raise MissingColumns(missing, records.columns)
        return records[list(self.feature_names_in_)]

    def _features(self, records: pd.DataFrame) -> Features:
        types = {name: type_by_dtype(records[name]) for name in records.columns}
        for kind in _DECLARED_TYPES:
            types |= dict.fromkeys(getattr(self, kind) or (), kind)
        return Features(
            **{kind: tuple(name for name in records.columns if types[name] == kind) for kind in FEATURE_TYPES}
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_scorer"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "artifact_" in state:
            self._scorer = RecordScorer(self.artifact_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


_CONFIG_PARAMETERS = (
    "kind", "members", "hidden", "latent", "beta", "steps", "batch_size", "neighbours", "max_reference",
    "trim",
)  # fmt: skip


_DECLARED_TYPES = ("categorical", "boolean", "timestamp")
_OTHER_PARAMETERS = ("false_positive_rate", "threshold", "trust_outliers", *_DECLARED_TYPES)
_PARAMETERS = "parameters"  # their key in `Artifact.about`
_FEATURE_NAMES = "feature_names"  # next to them: the columns in the order of the training frame


def _is_numeric(records: pd.DataFrame) -> bool:
    return all(type_by_dtype(records[name]) == "numeric" for name in records.columns)


def _with_whole_codes(records: pd.DataFrame, nominal: Iterable[str]) -> pd.DataFrame:
    """Replace 1.0 by "1" in columns of categories: a single null turns a column of integers into floats."""
    records = records.copy(deep=False)
    for name in nominal:
        levels = records[name].dropna().unique()
        codes: dict[Any, str] = {
            level: str(int(level)) for level in levels if isinstance(level, float | np.floating) and level.is_integer()
        }
        codes |= {level: number_text(level) for level in levels if isinstance(level, Decimal)}
        if codes:
            records[name] = [codes.get(value, value) for value in records[name]]
    return records
