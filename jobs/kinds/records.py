"""Models of single records: a record is scored by itself."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from jobs.kinds.record_card import RecordCardText

if TYPE_CHECKING:
    from detector.core.online_fdr import DiscoveryLevels
    from detector.records.card import RecordCard
    from detector.records.model import Model
    from detector.records.scorer import RecordScorer
    from jobs.reading.source import Source
    from jobs.store import Champion
    from jobs.training.record_training import RecordTrainer
    from schemas.config import MonitorConfig


def discovery_levels(monitor: "MonitorConfig") -> "DiscoveryLevels | None":
    """Return the levels that a stream of records starts with; None unless discoveries decide."""
    from detector.core.online_fdr import DiscoveryLevels

    if monitor.flag != "online_fdr":
        return None
    return DiscoveryLevels(monitor.false_discovery_rate, monitor.fdr_memory, monitor.false_positive_rate)


class RecordKind:
    """Models of single records. Their modules are imported late, so that commands that load no model start fast."""

    name = "records"
    null_feature: Literal["warning", "error"] = "error"
    card_text = RecordCardText()

    def load(self, blob: bytes, champion: "Champion", monitor: "MonitorConfig") -> "RecordScorer":
        """Load a champion, ready to score at the rates of the monitor."""
        from detector.records.artifact import load_artifact
        from detector.records.scorer import RecordScorer

        discovery_rate = monitor.false_discovery_rate if monitor.flag == "fdr" else None
        artifact = load_artifact(blob, champion.sha256)
        return RecordScorer(
            artifact,
            monitor.false_positive_rate,
            false_discovery_rate=discovery_rate,
            discovery_levels=discovery_levels(monitor),
        )

    def load_generator(self, blob: bytes, champion: "Champion", monitor: "MonitorConfig") -> "Model":
        """Load a champion as a model that draws, encodes and rebuilds records."""
        return self.load(blob, champion, monitor).model

    def past_columns(self, monitor: "MonitorConfig") -> tuple[str, ...]:  # noqa: ARG002 - a record has no past
        """Return no column: each record is scored alone."""
        return ()

    def trainer(self, source: "Source") -> "RecordTrainer":
        """Return the trainer of a model on a watched table."""
        from jobs.training.record_training import RecordTrainer

        return RecordTrainer(source)

    def read_card(self, card: Mapping[str, Any]) -> "RecordCard":
        """Read the card of a model from the store's JSON."""
        from detector.records.card import RecordCard

        return RecordCard.from_json(card)
