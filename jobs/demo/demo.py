"""The demo: two tables imported, trained on, scored and drawn, by the same functions that the commands use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from jobs.app import App
from jobs.demo import pictures, samples
from jobs.evaluating import EvaluationReport, evaluate_monitor
from jobs.importing.importing import import_file
from jobs.scoring import ScoringReport, score_monitor
from jobs.store import Store, migrations
from schemas.errors import UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY

if TYPE_CHECKING:
    from detector.training import Epoch
    from jobs.training import TrainingReport

TABLES = {"pump": "pump_readings", "breast_cancer": "breast_cancer"}


@dataclass(frozen=True)
class DemoReport:
    """What the demo did for one monitor."""

    monitor: str
    training: "TrainingReport"
    scoring: ScoringReport
    evaluation: EvaluationReport
    picture: Path


def prepare(folder: Path) -> Path:
    """A folder with the demo's configuration, and nothing left of an earlier demo; the path of the configuration.

    Raises:
        UsageError: where the folder holds other files, or cannot be written.
    """
    config = folder / "config.toml"
    text = _shipped_config().read_text(encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_ours = config.exists() and config.read_text(encoding="utf-8") == text
        if any(folder.iterdir()) and not is_ours:
            raise UsageError(
                f"{folder} holds files that are not the demo's. Name another folder: plumbline demo --into"
            )
        for stale in [*folder.glob("plumbline.db*"), *folder.glob("*.png")]:
            stale.unlink()
        config.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written: {exc.strerror}. Name another folder.") from exc
    return config


def fill(app: App, folder: Path) -> dict[str, int]:
    """Write the demo's files and import them as anybody would; records of each table."""
    samples.breast_cancer().to_csv(folder / "breast_cancer.csv", index=False)
    samples.pump_station().readings.to_parquet(folder / "pump_readings.parquet", index=False)
    migrations.upgrade(app.engine)
    files = {"pump_readings": "pump_readings.parquet", "breast_cancer": "breast_cancer.csv"}
    return {table: import_file(folder / file, app.engine, table).rows for table, file in files.items()}


def run_monitor(app: App, name: str, folder: Path, progress: "Callable[[Epoch], None]") -> DemoReport:
    """Train, score, evaluate and draw one monitor."""
    from jobs.training import train_monitor

    source, store = app.source(name), app.store
    training = train_monitor(source, store, app.clock, progress=progress)
    scoring = score_monitor(source, store, app.clock)
    evaluation = evaluate_monitor(source, store)
    picture = folder / f"{name}.png"
    _draw(app, store, name, picture)
    return DemoReport(name, training, scoring, evaluation, picture)


def _draw(app: App, store: Store, name: str, path: Path) -> None:
    source = app.source(name)
    monitor = source.monitor
    model = store.models(name)[0]
    history = model.manifest["about"]["history"]
    labels = pd.concat(source.pages(None, with_label=True), ignore_index=True)[monitor.label]
    scored = store.scores(name).rename(columns={"record_time": "time"})
    scored = scored[["time", "entity", ANOMALY_SCORE, IS_ANOMALY]].dropna(axis="columns", how="all")
    curve = pictures.TrainingCurve(*([epoch[key] for epoch in history] for key in ("number", "elbo", "held_out_elbo")))
    pictures.score_picture(
        path,
        f"Monitor {name}",
        scored.assign(label=labels.astype(bool)),
        model.card["threshold"],
        curve,
        false_positive_rate=monitor.false_positive_rate,
    )


def _shipped_config() -> Path:
    """The example configuration: inside the package where it was installed, beside it in the repository."""
    installed = Path(__file__).parents[1] / "config.toml"
    return installed if installed.exists() else Path(__file__).parents[2] / "config.toml"
