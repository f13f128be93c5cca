"""Pictures of what a monitor found, for people. The only module that speaks matplotlib."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from schemas.errors import UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 1200
_MOST_ENTITIES = 8
_WIDE_SPAN = 30  # scores that differ by this factor need a logarithmic axis
_INK, _MUTED, _GRID = "#1f2933", "#616e7c", "#e4e7eb"
_FLAGGED, _KNOWN = "#d55e00", "#cc79a7"
# Okabe and Ito's colours, safe for the colour-blind, without the two above, and some that go with them.
_PALETTE = ("#0072b2", "#009e73", "#5d3a9b", "#56b4e9", "#000000", "#e69f00", "#999999", "#b8a800")


@dataclass(frozen=True)
class TrainingCurve:
    """The ELBO after each epoch, higher is better: on the training records and on held-out ones."""

    epochs: Sequence[int]
    training_elbo: Sequence[float]
    held_out_elbo: Sequence[float]


def score_picture(
    path: Path,
    title: str,
    scored: pd.DataFrame,
    threshold: float,
    training: TrainingCurve,
    *,
    false_positive_rate: float,
) -> None:
    """Draw anomaly scores, and how the model was trained, into a PNG of 1600 x 900 pixels.

    Args:
        path: The file to write.
        title: What the picture is about.
        scored: Columns `anomaly_score` and `is_anomaly`, and where there are such `time`, `entity` and `label`,
            true for known anomalies. Without `time`, the records are numbered in their order.
        threshold: The score at which records were flagged.
        training: The training curve.
        false_positive_rate: What the threshold stands for.

    Raises:
        UsageError: where there is nothing to draw, or the file cannot be written.
    """
    if scored.empty:
        msg = "There are no scored records to draw. Score some first, then draw them."
        raise UsageError(msg)
    figure = _figure(title)
    scores, curve = figure.subplots(1, 2, width_ratios=[3.4, 1])
    text = f"threshold {threshold:.4g}, exceeded by {100 * false_positive_rate:.3g} % of normal records"
    scores.axhline(threshold, color=_INK, linewidth=1.4, linestyle=(0, (6, 3)), label=text, zorder=3)
    _draw_scores(scores, _prepared(scored))
    scores.set_title(_summary(scored), loc="left", fontsize=15, color=_INK, pad=12)
    handles = scores.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", ncols=7, frameon=False, fontsize=13, markerscale=1.5)
    _draw_training(curve, training)
    try:
        figure.savefig(path, format="png")
    except OSError as exc:
        msg = f"The picture {path} cannot be written: {exc.strerror}. Name a file in a folder that you may write to."
        raise UsageError(msg) from exc


def _figure(title: str) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.2, h_pad=0.15, wspace=0.03)
    figure = Figure(figsize=(16, 9), dpi=100, layout=layout, facecolor="white")
    figure.suptitle(title, x=0.012, ha="left", fontsize=21, fontweight="bold", color=_INK, parse_math=False)
    return figure


def _summary(scored: pd.DataFrame) -> str:
    flagged = scored[IS_ANOMALY].astype(bool)
    text = f"{len(scored):,} records scored, {flagged.sum():,} flagged ({flagged.mean():.2%})"
    if "label" not in scored:
        return text
    known = _is_known(scored)
    return (
        f"{text}: of them {(flagged & known).sum():,} of the {known.sum():,} known anomalies\n"
        f"and {(flagged & ~known).sum():,} of the {(~known).sum():,} other records"
    )


def _is_known(scored: pd.DataFrame) -> "pd.Series[bool]":
    """Which records are known anomalies; a missing label is none."""
    label = scored.get("label", pd.Series(0, index=scored.index))
    return label.astype("Float64").fillna(0).astype(bool)


def _prepared(scored: pd.DataFrame) -> pd.DataFrame:
    """The columns that are drawn: place, score, entity, is_flagged, is_known."""
    numbers = pd.Series(np.arange(1, len(scored) + 1), index=scored.index)
    return pd.DataFrame(
        {
            "place": scored.get("time", numbers),
            "score": scored[ANOMALY_SCORE].astype(float),
            "entity": scored["entity"].astype(str) if "entity" in scored else "all records",
            "is_flagged": scored[IS_ANOMALY].astype(bool),
            "is_known": _is_known(scored),
        }
    ).sort_values("place")


def _draw_scores(axes: "Axes", records: pd.DataFrame) -> None:
    has_time = records["place"].dtype.kind == "M"
    known, flagged = records[records["is_known"]], records[records["is_flagged"]]
    size = 5 if len(records) > _BINS else 8
    for (label, group), colour in zip(_groups(_thinned(records)), _PALETTE, strict=False):
        axes.plot(group["place"], group["score"], ".", markersize=size, color=colour, mew=0, label=label)
    (rings,) = axes.plot(flagged["place"], flagged["score"], "o", markersize=size + 1, label="flagged", zorder=1.9)
    rings.set(markerfacecolor="none", markeredgecolor=_FLAGGED)
    if has_time:
        _shade(axes, known["place"], records["place"])
        _use_short_dates(axes)
    elif not known.empty:
        axes.plot(known["place"], known["score"], "D", markersize=4, color=_KNOWN, mew=0, label="known anomaly")
    if records["score"].min() > 0 and records["score"].max() > _WIDE_SPAN * records["score"].min():
        _use_log_scale(axes)
    _style(axes, "Anomaly score (higher is more anomalous)", "Time (UTC)" if has_time else "Record number")
    axes.margins(x=0.01)


def _use_short_dates(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _use_log_scale(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def _thinned(records: pd.DataFrame) -> pd.DataFrame:
    """Few enough records to draw: all flagged ones, and each entity's highest and lowest of each stretch."""
    if len(records) <= 2 * _BINS:
        return records
    stretch = np.arange(len(records)) * _BINS // len(records)
    scores = records.reset_index(drop=True).groupby([stretch, records["entity"].to_numpy()])["score"]
    kept = np.union1d(scores.idxmax(), scores.idxmin())
    kept = np.union1d(kept, np.flatnonzero(records["is_flagged"]))
    return records.iloc[kept.astype(int)]


def _groups(records: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The records of each entity with its name; all together where there are too many to tell apart."""
    entities = sorted(records["entity"].unique())
    if len(entities) > _MOST_ENTITIES:
        yield f"{len(entities)} entities", records
        return
    for entity in entities:
        yield _label(entity), records[records["entity"] == entity]


def _label(entity: str) -> str:
    """A name as a legend shows it: matplotlib takes $ for formulas, and leaves out what starts with _."""
    label = (entity if len(entity) <= 24 else f"{entity[:23]}…").replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def _shade(axes: "Axes", known: pd.Series, every: pd.Series) -> None:
    """Shade the times of known anomalies; those closer than a hundredth of the whole are one stretch."""
    is_start = known.diff() > (every.max() - every.min()) / 100
    for number, (_, times) in enumerate(known.groupby(is_start.cumsum())):
        label = None if number else "known anomaly"
        axes.axvspan(times.min(), times.max(), color=_KNOWN, alpha=0.22, linewidth=0, label=label)


def _draw_training(axes: "Axes", training: TrainingCurve) -> None:
    axes.plot(training.epochs, training.training_elbo, color=_PALETTE[0], linewidth=2, label="training records")
    axes.plot(training.epochs, training.held_out_elbo, color=_FLAGGED, linewidth=2, ls="--", label="held-out records")
    axes.set_title("How the model was trained", loc="left", fontsize=15, color=_INK, pad=12)
    axes.legend(loc="lower right", frameon=False, fontsize=12)
    _style(axes, "ELBO per record (higher is better)", "Epoch")


def _style(axes: "Axes", y_label: str, x_label: str) -> None:
    axes.set_ylabel(y_label, fontsize=14, color=_INK)
    axes.set_xlabel(x_label, fontsize=14, color=_INK)
    axes.tick_params(labelsize=12, colors=_MUTED)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
