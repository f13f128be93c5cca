"""A picture of the scores of a table's records and of the model's training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jobs.demo.pictures.style import BLUE, FLAGGED, INK, KNOWN, save, style_axes
from jobs.wording import percent, shown
from schemas.errors import UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOG_SCALE_RATIO = 30  # of the largest score to the smallest, from which on the axis is logarithmic


@dataclass(frozen=True)
class TrainingCurve:
    """The ELBO after each epoch, on training records and on held-out records; higher is better."""

    epochs: Sequence[int]
    training_elbo: Sequence[float]
    held_out_elbo: Sequence[float]


def draw_score_picture(
    path: Path,
    title: str,
    scored: pd.DataFrame,
    threshold: float,
    training: TrainingCurve,
    *,
    false_positive_rate: float,
) -> None:
    """Draw the anomaly scores and the training curve into a PNG of 1600 x 900 pixels.

    Args:
        path: The file to write.
        title: Title of the picture.
        scored: Columns `anomaly_score`, `is_anomaly` and `label`, which is true for known anomalies.
        threshold: The score at which records were flagged.
        training: The training curve.
        false_positive_rate: The rate of the threshold.

    Raises:
        UsageError: If there are no records, or the file cannot be written.
    """
    if scored.empty:
        msg = "There are no scored records to draw. Score records first."
        raise UsageError(msg)
    figure = _figure(title)
    scores, curve = figure.subplots(1, 2, width_ratios=[3.4, 1])
    text = f"threshold {shown(threshold)}, exceeded by {100 * false_positive_rate:.3g} % of normal records"
    scores.axhline(threshold, color=INK, linewidth=1.4, linestyle=(0, (6, 3)), label=text, zorder=3)
    _draw_scores(scores, scored)
    scores.set_title(_summary(scored), loc="left", fontsize=15, color=INK, pad=12)
    handles = scores.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", ncols=7, frameon=False, fontsize=13, markerscale=1.5)
    _draw_training(curve, training)
    save(figure, path)


def _figure(title: str) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.2, h_pad=0.15, wspace=0.03)
    figure = Figure(figsize=(16, 9), dpi=100, layout=layout, facecolor="white")
    figure.suptitle(title, x=0.012, ha="left", fontsize=21, fontweight="bold", color=INK, parse_math=False)
    return figure


def _summary(scored: pd.DataFrame) -> str:
    flagged, is_labelled = scored[IS_ANOMALY].astype(bool), scored["label"].astype(bool)
    return (
        f"{len(scored):,} records scored, {flagged.sum():,} flagged ({percent(flagged.mean())}): "
        f"{(flagged & is_labelled).sum():,} of the {is_labelled.sum():,} known anomalies\n"
        f"and {(flagged & ~is_labelled).sum():,} of the {(~is_labelled).sum():,} other records"
    )


def _draw_scores(axes: "Axes", scored: pd.DataFrame) -> None:
    place, scores = np.arange(1, len(scored) + 1), scored[ANOMALY_SCORE].to_numpy(dtype=float)
    flagged, is_labelled = scored[IS_ANOMALY].to_numpy(dtype=bool), scored["label"].to_numpy(dtype=bool)
    axes.plot(place[~is_labelled], scores[~is_labelled], ".", markersize=8, color=BLUE, mew=0, label="records")
    (rings,) = axes.plot(place[flagged], scores[flagged], "o", markersize=9, label="flagged", zorder=1.9)
    rings.set(markerfacecolor="none", markeredgecolor=FLAGGED)
    if is_labelled.any():
        axes.plot(place[is_labelled], scores[is_labelled], "D", markersize=4, color=KNOWN, mew=0, label="known anomaly")
    if scores.min() > 0 and scores.max() > _LOG_SCALE_RATIO * scores.min():
        _use_log_scale(axes)
    style_axes(axes, "Anomaly score (higher is more anomalous)", "Record number")
    axes.margins(x=0.01)


def _use_log_scale(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def _draw_training(axes: "Axes", training: TrainingCurve) -> None:
    axes.plot(training.epochs, training.training_elbo, color=BLUE, linewidth=2, label="training records")
    axes.plot(training.epochs, training.held_out_elbo, color=FLAGGED, linewidth=2, ls="--", label="held-out records")
    axes.set_title("Training curve", loc="left", fontsize=15, color=INK, pad=12)
    axes.legend(loc="lower right", frameon=False, fontsize=12)
    style_axes(axes, "ELBO per record (higher is better)", "Epoch")
