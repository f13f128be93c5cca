"""A model with its calibration: records in, scores with p-values and decisions out."""

import numpy as np
import pandas as pd

from detector.core.calibration import benjamini_hochberg, severity
from detector.core.drift import Profile
from detector.core.threads import usual_threads
from detector.records.artifact import Artifact
from detector.records.model import Model
from detector.records.numpy_network import NumpyNetwork
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE, SEVERITY, THRESHOLD, Explanation


class Scorer:
    """Scores records with one artifact; the same record always gets the same score and p-value, bit for bit.

    Args:
        artifact: the trained model.
        rate: a false-positive rate in place of the one that the model was trained with; a threshold by
            F-beta has none and stays.
        false_discovery_rate: decides for the records scored together, in place of the threshold: as many are
            flagged as leave at most this share of them normal on average.
        threads: that score side by side; as many as matrix products use where absent.

    Raises:
        RateTooSmall: where the calibration records cannot resolve the rate.
        ArtifactError: where the profile of the training records is not as it was written.
    """

    def __init__(
        self,
        artifact: Artifact,
        rate: float | None = None,
        *,
        false_discovery_rate: float | None = None,
        threads: int | None = None,
    ) -> None:
        self.artifact = artifact
        self.false_discovery_rate = false_discovery_rate
        self.threads = usual_threads() if threads is None else threads
        self.profile = Profile.from_state(artifact.about.get("profile"))  # models of other origin have none
        self.threshold = artifact.decision.threshold  # a record is an anomaly above it
        if rate is not None and artifact.decision.method != "f_beta":
            self.threshold = artifact.calibration.threshold(rate)
        network = NumpyNetwork(artifact.architecture, artifact.encoder.layout, artifact.weights)
        self.model = Model(artifact.config, artifact.encoder, network, artifact.reference, artifact.typical_nll)

    @property
    def smallest_rate(self) -> float:
        """The smallest false-positive rate that the calibration can tell apart."""
        calibration = self.artifact.calibration
        return 0.0 if calibration.tail else 1 / (len(calibration.reference) + 1)

    def score(self, records: pd.DataFrame) -> pd.DataFrame:
        """One row per record on the records' index: the columns of `schemas.frames.SCORE_COLUMNS`.

        Raises:
            RecordsError: where there are no records, or they do not have the model's features.
        """
        scores = self.model.anomaly_score(records, self.threads)
        p_values = self.artifact.calibration.p_values(scores)
        threshold = self._threshold(scores, p_values)
        columns = {
            ANOMALY_SCORE: scores,
            P_VALUE: p_values,
            SEVERITY: severity(p_values),
            THRESHOLD: threshold,
            IS_ANOMALY: scores > threshold,
        }
        return pd.DataFrame(columns, index=records.index)

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """The `top` causes of each of n scores, largest share first."""
        return self.model.explain(records, scores, top) if len(records) else []

    def _threshold(self, scores: np.ndarray, p_values: np.ndarray) -> float:
        """The score above which records scored together are anomalies; infinite where none of them is."""
        if self.false_discovery_rate is None:
            return self.threshold
        flagged = scores[benjamini_hochberg(p_values, self.false_discovery_rate)]
        return float(np.nextafter(flagged.min(), -np.inf)) if len(flagged) else np.inf
