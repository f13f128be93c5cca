"""Trains a monitor's model: normal records in, a champion or a challenger out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from detector.core.blob import digest
from detector.core.comparison import ComparisonReport, Policy, Verdict, decide
from detector.core.model_card import ModelCard
from jobs.checks import refuse_unfit
from jobs.join_view import join_anomalies
from jobs.kinds import kind_of
from jobs.ranking import RankedRecord, rank_records
from jobs.reading.source import Source
from jobs.runs import recorded_run
from jobs.scoring.learned_features import features_as_json
from jobs.store import NewModel, ServedRequest, Store
from jobs.store.models import NO_REQUEST
from jobs.training.champion_comparison import compare, load_rival
from jobs.training.held_out_rows import describe_held_out
from jobs.training.model_card import CardFacts, render_card
from jobs.training.trainer import Progress
from jobs.training.training_set import read_training_set

MAX_TOP_RECORDS = 5  # of those held out, which a training reports


@dataclass(frozen=True)
class TrainingOrder:
    """The cause of a training, and the policy of promotion.

    Attributes:
        policy: when the model is promoted; always for a training that a person started.
        serves: the request that it serves.
    """

    policy: Policy = "always"
    serves: ServedRequest = NO_REQUEST


@dataclass(frozen=True)
class TrainingReport:
    """The outcome of a training.

    Attributes:
        monitor: that was trained.
        model_id: of the new model.
        is_champion: whether it scores now.
        verdict: of the comparison with the champion before it.
        reason: why it was promoted or not, in a sentence.
        card: the numbers of the model.
        join_view: the name of the view of flagged rows next to their records, if there is one.
        top: the most anomalous of the records that were held out of the training, the most anomalous first.
        left_out: number of normal records that were left out, by reason.
    """

    monitor: str
    model_id: int
    is_champion: bool
    verdict: Verdict
    reason: str
    card: ModelCard
    join_view: str | None
    top: Sequence[RankedRecord] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """The model's role now, in a sentence."""
        role = "the champion" if self.is_champion else "a challenger"
        return f"Model {self.model_id} is {role} of monitor {self.monitor!r}."


_PROMOTED_UNLESS_DEGENERATE = TrainingOrder()


def train_monitor(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    *,
    order: TrainingOrder = _PROMOTED_UNLESS_DEGENERATE,
    progress: Progress = None,
) -> TrainingReport:
    """Train, calibrate, compare and store a model; an interruption at any point stores nothing.

    Raises:
        RecordsError: If the table does not fit the monitor, or its normal records are too few.
        SourceError: If the watched table cannot be read.
        LostRequest: If another worker has taken the request over.
    """
    with recorded_run(store, source.name, "train", clock) as counts:
        refuse_unfit(source.name, source.monitor, source)
        model, top = train(source, store, clock(), order.policy, progress)
        model_id = store.models.add(source.name, model, clock(), promote=model.is_promoted, serves=order.serves)
        counts |= {"records": model.about.training.records, "model_id": model_id}
    return replace(_report(source, store, model_id), top=top)


def train(
    source: Source, store: Store, at: datetime, policy: Policy, progress: Progress = None
) -> tuple[NewModel, list[RankedRecord]]:
    """Train a model on normal records, compare it with the champion, and decide; nothing is stored.

    Returned are the model and the most anomalous of the records held out of its training.

    Args:
        source: the watched table.
        store: the service's own database.
        at: the time now.
        policy: when the model takes the champion's place.
        progress: called after each epoch of networks.
    """
    trainer = kind_of(source.monitor).trainer(source)
    feedback, rival = store.feedback.read(source.name), load_rival(store, source)
    normal = trainer.usable(read_training_set(source, feedback, at, None if rival is None else rival.scorer))
    parts = trainer.split(normal, rival)
    fitted = trainer.fit(normal, parts, feedback, progress)
    comparison = compare(fitted, rival, trainer.benchmark(fitted, rival, parts, feedback), parts)
    report = ComparisonReport.of(comparison, decide(comparison, policy))
    card = trainer.card(fitted, parts)
    top = rank_records(trainer.held_out(parts), source, fitted.scorer, MAX_TOP_RECORDS)
    features = features_as_json(source.monitor.features)
    held_out = describe_held_out(normal, parts, source.monitor)
    model = NewModel(
        blob=fitted.blob,
        sha256=digest(fitted.blob),
        manifest={**fitted.manifest, "features": features, "held_out": held_out},
        card=card,
        card_markdown=render_card(CardFacts(source.name, fitted.manifest, card, report)),
        comparison=report,
        beats=comparison.champion_id if policy == "if_better" else None,  # no other champion was compared
    )
    return model, top


def _report(source: Source, store: Store, model_id: int) -> TrainingReport:
    stored = store.models.get(model_id)
    is_champion = stored.state == "champion"
    view = join_anomalies(store, source) if is_champion else None
    report = stored.comparison or ComparisonReport()
    left_out = stored.about.training.left_out
    return TrainingReport(
        source.name, model_id, is_champion, report.verdict, report.reason, stored.card, view, left_out=left_out
    )
