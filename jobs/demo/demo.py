"""The demo: two tables imported, trained on, scored and drawn, by the same functions that the commands use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import text

from jobs.app import App
from jobs.databases import writing
from jobs.demo.events import EVENTS
from jobs.demo.pictures import TrainingCurve, course_picture, score_picture
from jobs.demo.pump_simulation import pump_station
from jobs.demo.samples import breast_cancer
from jobs.demo.scorecard import Verdict, entity_threshold
from jobs.demo.timeline import timeline_of
from jobs.evaluation import EvaluationReport, evaluate_monitor
from jobs.importing.importing import import_file
from jobs.reading.source import Source
from jobs.scoring.run import ScoringReport, score_monitor
from jobs.store import Store, migrations
from schemas.errors import UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY

if TYPE_CHECKING:
    from detector.core.progress import Epoch
    from jobs.training.train import TrainingReport

_INDEX = "CREATE INDEX ix_pump_readings_pump_id_read_at ON pump_readings (pump_id, read_at)"  # the past is found by it


@dataclass(frozen=True)
class DemoReport:
    """What the demo did for one monitor.

    Attributes:
        monitor: its name.
        training: of its model.
        training_seconds: that it took.
        scoring: of all records of the table.
        scoring_seconds: that it took.
        evaluation: against the labels.
        verdict: on the events, where it is known what happened.
        picture: where it is.
    """

    monitor: str
    training: "TrainingReport"
    training_seconds: float
    scoring: ScoringReport
    scoring_seconds: float
    evaluation: EvaluationReport
    verdict: Verdict | None
    picture: Path


def prepare(folder: Path) -> Path:
    """A folder with the demo's configuration, and nothing left of an earlier demo; the path of the configuration.

    Raises:
        UsageError: where the folder holds other files, or cannot be written.
    """
    config = folder / "config.toml"
    shipped = _shipped_config().read_text(encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_ours = config.exists() and config.read_text(encoding="utf-8") == shipped
        if any(folder.iterdir()) and not is_ours:
            raise UsageError(
                f"{folder} holds files that are not the demo's. Name another folder: plumbline demo --into"
            )
        for stale in [*folder.glob("plumbline.db*"), *folder.glob("*.png")]:
            stale.unlink()
        config.write_text(shipped, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written: {exc.strerror}. Name another folder.") from exc
    return config


def fill(app: App, folder: Path) -> dict[str, int]:
    """Write the demo's files and import them as anybody would; records of each table."""
    pump_station().to_parquet(folder / "pump_readings.parquet", index=False)
    breast_cancer().to_csv(folder / "breast_cancer.csv", index=False)
    migrations.upgrade(app.engine)
    files = {"pump_readings": "pump_readings.parquet", "breast_cancer": "breast_cancer.csv"}
    imported = {table: import_file(folder / file, app.engine, table).rows for table, file in files.items()}
    with writing(app.engine) as connection:
        connection.execute(text(_INDEX))
    return imported


def run_monitor(app: App, name: str, folder: Path, progress: "Callable[[Epoch], None]") -> DemoReport:
    """Train, score, evaluate and draw one monitor."""
    from jobs.training.train import train_monitor

    source, store = app.source(name), app.store
    started_at = app.clock()
    training = train_monitor(source, store, app.clock, progress=progress)
    trained_at = app.clock()
    scoring = score_monitor(source, store, app.clock)
    scored_at = app.clock()
    picture = folder / f"{name}.png"
    course = timeline_of(source, store, EVENTS) if source.monitor.series else None
    if course is None:
        _draw_scores(source, store, picture)
    else:
        course_picture(picture, f"Monitor {name}: what was put in, and what was flagged", course)
    return DemoReport(
        monitor=name,
        training=training,
        training_seconds=(trained_at - started_at).total_seconds(),
        scoring=scoring,
        scoring_seconds=(scored_at - trained_at).total_seconds(),
        evaluation=evaluate_monitor(source, store),
        verdict=None if course is None else entity_threshold(course),
        picture=picture,
    )


def _draw_scores(source: Source, store: Store, path: Path) -> None:
    monitor, model = source.monitor, store.models.all(source.name)[0]
    history = model.about.history
    labels = pd.concat(source.pages(None, with_label=True), ignore_index=True)[monitor.label]
    scored = store.anomalies.scores(source.name)[[ANOMALY_SCORE, IS_ANOMALY]]
    curve = TrainingCurve(*([getattr(epoch, key) for epoch in history] for key in ("number", "elbo", "held_out_elbo")))
    score_picture(
        path,
        f"Monitor {source.name}",
        scored.assign(label=labels.astype(bool)),
        model.card.threshold or 0.0,
        curve,
        false_positive_rate=monitor.false_positive_rate,
    )


def _shipped_config() -> Path:
    """The example configuration: inside the package where it was installed, beside it in the repository."""
    installed = Path(__file__).parents[1] / "config.toml"
    return installed if installed.exists() else Path(__file__).parents[2] / "config.toml"
