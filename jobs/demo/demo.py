"""The demo: import, train, score, evaluate and draw two tables, with the functions that the commands use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from jobs.app import App
from jobs.databases import writing
from jobs.demo.events import EVENTS
from jobs.demo.pump_simulation import simulate_pump_station
from jobs.demo.samples import breast_cancer
from jobs.demo.scorecard import Scorecard, compare_with_events
from jobs.demo.timeline import Timeline, overview_of, read_timeline
from jobs.evaluation import EvaluationReport, evaluate_monitor
from jobs.importing.importing import import_file
from jobs.pictures import Canvas, draw_overview, draw_view, save
from jobs.pictures.values import TrainingCurve
from jobs.reading.source import Source
from jobs.reporting.selection import Selection
from jobs.reporting.views import ViewReader
from jobs.scoring.run import ScoringReport, score_monitor
from jobs.store import Store, migrations
from schemas.errors import UsageError

if TYPE_CHECKING:
    from detector.core.progress import Epoch
    from jobs.training.train import TrainingReport

_WIDTH = 1600  # pixels of a picture
_INDEX = (
    "CREATE INDEX ix_pump_readings_pump_id_read_at ON pump_readings (pump_id, read_at)"  # to read the history of a pump
)


@dataclass(frozen=True)
class DemoReport:
    """The results of the demo for one monitor.

    Attributes:
        monitor: name of the monitor.
        training: report of the training.
        training_seconds: duration of the training.
        scoring: report of scoring the whole table.
        scoring_seconds: duration of the scoring.
        evaluation: scores compared with the labels.
        verdict: detections compared with the injected events, if the table has any.
        picture: path of the picture.
    """

    monitor: str
    training: "TrainingReport"
    training_seconds: float
    scoring: ScoringReport
    scoring_seconds: float
    evaluation: EvaluationReport
    verdict: Scorecard | None
    picture: Path


def prepare(folder: Path) -> Path:
    """Prepare a folder for the demo, delete the files of an earlier demo, and return the path of the configuration.

    Raises:
        UsageError: If the folder holds other files or cannot be written.
    """
    config = folder / "config.toml"
    shipped = _shipped_config().read_text(encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_ours = config.exists() and config.read_text(encoding="utf-8") == shipped
        if any(folder.iterdir()) and not is_ours:
            raise UsageError(
                f"{folder} holds files that are not the demo's. Choose another folder: plumbline demo --into FOLDER"
            )
        for stale in [*folder.glob("plumbline.db*"), *folder.glob("*.png")]:
            stale.unlink()
        config.write_text(shipped, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"{folder} cannot be written: {exc.strerror}. Choose another folder: plumbline demo --into FOLDER"
        ) from exc
    return config


def fill(app: App, folder: Path) -> dict[str, int]:
    """Write the demo's files, import them, and return the number of records of each table."""
    simulate_pump_station().to_parquet(folder / "pump_readings.parquet", index=False)
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
    timeline = read_timeline(source, store, EVENTS) if source.monitor.series else None
    _draw(source, store, timeline, picture)
    return DemoReport(
        monitor=name,
        training=training,
        training_seconds=(trained_at - started_at).total_seconds(),
        scoring=scoring,
        scoring_seconds=(scored_at - trained_at).total_seconds(),
        evaluation=evaluate_monitor(source, store),
        verdict=None if timeline is None else compare_with_events(timeline),
        picture=picture,
    )


def _draw(source: Source, store: Store, timeline: Timeline | None, path: Path) -> None:
    """Draw the timeline of a monitor, or else its records and its training."""
    reader = ViewReader(source, store)
    if timeline is not None:
        heading = f"Monitor {source.name}: injected events and flagged records"
        save(draw_overview(overview_of(timeline, reader), Canvas(_WIDTH), heading), path)
        return
    history = store.models.get(reader.champion.model_id).about.history
    curve = TrainingCurve(*([getattr(epoch, key) for epoch in history] for key in ("number", "elbo", "held_out_elbo")))
    view = reader.of_selection(Selection())
    save(draw_view(view, Canvas(_WIDTH), heading=f"Monitor {source.name}", training=curve), path)


def _shipped_config() -> Path:
    """Return the path of the example configuration: in the installed package, or in the repository."""
    installed = Path(__file__).parents[1] / "config.toml"
    return installed if installed.exists() else Path(__file__).parents[2] / "config.toml"
