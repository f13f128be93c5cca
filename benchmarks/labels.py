"""Benchmark of what labels change on labelled tables: ``python -m benchmarks.labels --data DIR``.

The ten most anomalous test records are labelled, as a person would. Average precision is measured on the others, before
and after the labels raise scores, and if one of the ten labels is wrong. Then flagged records come in a random order;
once five false alarms are labelled, with every anomaly before them, the look-alikes among the later ones are counted.
Results are appended to a CSV file; a run with the same file continues the last run.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score

from benchmarks.options import positive
from benchmarks.processes import print_progress, succeeded
from benchmarks.protocol import Split, split
from benchmarks.report import markdown_table
from benchmarks.result_file import ResultFile
from benchmarks.tables import Mask, Vector, cut, find_tables, read_table
from detector.records.artifact import Artifact
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.label_head_fitting import LabelledRecords, with_label_head
from detector.records.model import Model
from detector.records.normal_records import NormalRecords, calibration_split
from detector.records.scorer import RecordScorer
from jobs.look_alikes import LookAlikes
from jobs.store.labelled_examples import LabelledExample
from jobs.store.writing import json_ready
from schemas.config import ModelConfig, MonitorAlerts
from schemas.errors import PlumblineError
from schemas.frames import Explanation, Features

LABELS = 10
WRONG = (1, 4, 7)  # places of the labels that are wrong, one at a time
MIN_ANOMALIES = 20
MIN_TRAINING = 250
FLAGGED_RATE = 0.05
MAX_FLAGGED = 300
FALSE_ALARMS = 5
ORDERS = 2
CAUSES = MonitorAlerts().look_alike_radius, 5  # the default radius, and the number of causes that a row has
COLUMNS = ("dataset", "is_used", "before", "after", "after_wrong", "quieted", "silenced")
FILE = ResultFile(COLUMNS, texts=("dataset",), key=("dataset",))


@dataclass(frozen=True)
class Task:
    """One table."""

    path: Path
    max_rows: int

    def __str__(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Measured:
    """What labels change on one table; NaN if it is too small.

    Attributes:
        dataset: its name.
        is_used: whether ten labels raise scores.
        before: average precision without labels.
        after: with ten labels.
        after_wrong: the same with one wrong label, mean over the places.
        quieted: share of later false alarms that resemble a labelled one.
        silenced: share of later anomalies that do.
    """

    dataset: str
    is_used: float = np.nan
    before: float = np.nan
    after: float = np.nan
    after_wrong: float = np.nan
    quieted: float = np.nan
    silenced: float = np.nan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every task succeeded, 1 if some failed, 2 if the call was wrong."""
    options = _parser().parse_args(arguments)
    try:
        paths = find_tables(options.data)
        done = FILE.open(options.out)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    tasks = [Task(path, options.max_rows) for path in paths if (path.stem,) not in done]
    failed = len(tasks)
    for measured in succeeded(run_task, tasks, options.jobs, str):
        FILE.append(options.out, [vars(measured)])
        failed -= 1
    sys.stdout.write(summary([Measured(**row) for row in FILE.read(options.out).to_dict("records")]))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders with tables")
    parser.add_argument("--max-rows", type=positive, default=3_000, help="larger tables are cut (default: 3000)")
    parser.add_argument("--out", type=Path, default=Path("labels.csv"), help="results file (default: labels.csv)")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    return parser


def run_task(task: Task) -> Measured:
    """Return what labels change on one table."""
    part = split(cut(read_table(task.path), task.max_rows), seed=0)
    if part.is_anomaly.sum() < MIN_ANOMALIES or len(part.train) < MIN_TRAINING or part.categorical:
        return Measured(task.path.stem)
    normal = normal_records(part.train)
    rule = DecisionRule("conformal", max(0.01, 2 / (len(normal.calibration) + 1)))
    artifact = fit_artifact(normal, Features(numeric=tuple(part.train)), ModelConfig(), rule=rule)
    scores = RecordScorer(artifact).model.anomaly_score(part.test)
    top = np.argsort(-scores, kind="stable")[:LABELS]
    is_rest = ~np.isin(np.arange(len(scores)), top)

    def precision(is_confirmed: Mask) -> tuple[float, bool]:
        raised = _labelled(artifact, normal, part, top[is_confirmed], top[~is_confirmed], rule)
        rest = RecordScorer(raised).model.anomaly_score(part.test[is_rest]) if raised.head else scores[is_rest]
        return float(average_precision_score(part.is_anomaly[is_rest], rest)), raised.head is not None

    truth = part.is_anomaly[top]
    after, is_used = precision(truth)
    wrong = [precision(truth ^ (np.arange(LABELS) == place))[0] for place in WRONG]
    before = float(average_precision_score(part.is_anomaly[is_rest], scores[is_rest]))
    look_alikes = _look_alikes(RecordScorer(artifact).model, artifact, part, scores)
    return Measured(task.path.stem, float(is_used), before, after, float(np.mean(wrong)), *look_alikes)


def normal_records(records: pd.DataFrame) -> NormalRecords:
    """Return records to train on, with a random fifth to calibrate with, as a training draws them."""
    rows, held_out = calibration_split(len(records), len(records) // 5, 0, latest=False)
    return NormalRecords(records.iloc[rows], records.iloc[held_out], is_drawn=True)


def _labelled(
    artifact: Artifact, normal: NormalRecords, part: Split, confirmed: Vector, false: Vector, rule: DecisionRule
) -> Artifact:
    labelled = LabelledRecords(part.test.iloc[confirmed], part.test.iloc[false])
    return with_label_head(artifact, normal.calibration, labelled, rule)


def _look_alikes(model: Model, artifact: Artifact, part: Split, scores: Vector) -> tuple[float, float]:
    """Return the share of later false alarms that look-alikes quiet, and of later anomalies that they silence."""
    flagged = np.flatnonzero(artifact.calibration.p_values(scores) <= FLAGGED_RATE)
    flagged = flagged[np.argsort(-scores[flagged], kind="stable")][:MAX_FLAGGED]
    radius, top = CAUSES
    explanations = model.explain(part.test.iloc[flagged], scores[flagged], top)
    is_anomaly = part.is_anomaly[flagged]
    orders = [np.random.default_rng(seed).permutation(len(flagged)) for seed in range(ORDERS)]
    counted = [shares(explanations, is_anomaly, order, radius) for order in orders]
    measured = [pair for pair in counted if pair is not None] or [(np.nan, np.nan)]
    quieted, silenced = np.mean(measured, axis=0).tolist()
    return quieted, silenced


def shares(
    explanations: Sequence[Explanation], is_anomaly: Mask, order: np.ndarray, radius: float
) -> tuple[float, float] | None:
    """Return both shares for one order of the flagged records, or None if no false alarm or no anomaly is later."""
    seen = int(np.searchsorted(np.cumsum(~is_anomaly[order]), FALSE_ALARMS)) + 1
    later = order[seen:]
    if not is_anomaly[later].any() or is_anomaly[later].all():
        return None
    examples = [
        LabelledExample(
            int(row),
            None,
            None,
            "confirmed" if is_anomaly[row] else "false_positive",
            [json_ready(cause.to_json()) for cause in explanations[row].causes],
        )
        for row in order[:seen].tolist()
    ]
    look_alikes = LookAlikes(examples, radius)
    found = [look_alikes.resembled(None, explanations[row]) for row in later.tolist()]
    is_quiet = np.array([one is not None and one.label == "false_positive" for one in found])
    return float(is_quiet[~is_anomaly[later]].mean()), float(is_quiet[is_anomaly[later]].mean())


def summary(measured: Sequence[Measured]) -> str:
    """Return the means over tables as Markdown."""
    before, after, wrong, used = (
        np.array([getattr(one, name) for one in measured if not np.isnan(one.before)])
        for name in ("before", "after", "after_wrong", "is_used")
    )
    if not len(before):
        return (
            f"No numeric table has {MIN_ANOMALIES} anomalies among its test records, and {MIN_TRAINING} training "
            "records. Name other folders in --data.\n"
        )
    rows = [_gains(name, values - before) for name, values in (("ten labels", after), ("one of them wrong", wrong))]
    header = ["on the other records", "gain", "better", "worse", "worst", "p (Wilcoxon)"]
    counted = [one for one in measured if not np.isnan(one.quieted)]
    quieted, silenced = (
        np.mean([getattr(one, name) for one in counted]) if counted else np.nan for name in ("quieted", "silenced")
    )
    return "\n".join(
        [
            f"{len(before)} tables, average precision {before.mean():.3f} without labels; used on {used.mean():.0%}.",
            "",
            *markdown_table(header, rows),
            "",
            f"Look-alikes on {len(counted)} tables: quieted {quieted:.1%}, and of anomalies {silenced:.1%}.",
            "",
        ]
    )


def _gains(name: str, gains: Vector) -> list[str]:
    p_value = wilcoxon(gains).pvalue if gains.any() else 1.0
    counts = [f"{(gains > 0.002).mean():.0%}", f"{(gains < -0.002).mean():.0%}"]
    return [name, f"{gains.mean():+.3f}", *counts, f"{gains.min():+.3f}", f"{p_value:.1g}"]


if __name__ == "__main__":
    sys.exit(main())
