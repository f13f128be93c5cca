"""The summary of a results file as Markdown: means, ranks, and our default compared with the other methods."""

from collections.abc import Sequence

import pandas as pd
from scipy.stats import wilcoxon

from benchmarks.methods import DEFAULT, METHODS
from benchmarks.results import RATE_COLUMNS

QUALITY = ("auroc", "average_precision")
MAX_TIE_GAIN = 0.005  # differences up to half a point are ties: the noise of a split


def summary(results: pd.DataFrame) -> str:
    """Return means of every method and comparisons with the default, over all tables and each kind of table.

    Seeds are averaged first, so that each table counts once.
    """
    kinds = sorted(results["kind"].unique())
    groups = {"All tables": results} if len(kinds) > 1 else {}
    groups |= {f"{kind.capitalize()} tables": results[results["kind"] == kind] for kind in kinds}
    return "\n".join(_section(title, group) for title, group in groups.items())


def _section(title: str, results: pd.DataFrame) -> str:
    methods = [method for method in METHODS if method in set(results["method"])]
    by_table = results.groupby(["dataset", "method"]).mean(numeric_only=True)
    auroc, precision = (by_table[measure].unstack("method")[methods] for measure in QUALITY)
    complete = auroc.dropna()
    lines = [f"## {title}", "", _coverage(auroc, complete, results["seed"].nunique()), ""]
    if len(complete):
        costs = by_table.loc[by_table.index.get_level_values("dataset").isin(complete.index)]
        lines += [*_means(complete, precision.loc[complete.index], costs), ""]
    if DEFAULT in methods and len(methods) > 1:
        lines += [*_comparisons(auroc, precision), ""]
    return "\n".join(lines)


def _coverage(auroc: pd.DataFrame, complete: pd.DataFrame, seeds: int) -> str:
    text = f"Means over {len(complete)} tables and {seeds} seed(s); rank 1 is best."
    if len(complete) == len(auroc):
        return text
    absent = auroc.isna().sum()
    counts = ", ".join(f"{method} {count}" for method, count in absent[absent > 0].items())
    return f"{text} {len(auroc) - len(complete)} left out because a method lacks them: {counts}."


def _means(auroc: pd.DataFrame, precision: pd.DataFrame, by_table: pd.DataFrame) -> list[str]:
    costs = by_table.groupby("method")
    middle, rates = costs.median(), costs[list(RATE_COLUMNS)].mean()
    ranks = [frame.rank(axis=1, ascending=False).mean() for frame in (auroc, precision)]
    header = ["method", "AUROC", "AP", "rank AUROC", "rank AP", "fit s (median)", "rows/s (median)", *RATE_COLUMNS]
    rows = [
        [
            str(method),
            f"{auroc[method].mean():.4f}",
            f"{precision[method].mean():.4f}",
            *(f"{rank[method]:.1f}" for rank in ranks),
            f"{middle.loc[method, 'fit_seconds']:.2f}",
            number_text(middle.loc[method, "score_rows_per_second"], ",.0f"),
            *(number_text(rates.loc[method, column], ".4f") for column in RATE_COLUMNS),
        ]
        for method in precision.mean().sort_values(ascending=False).index
    ]
    return markdown_table(header, rows)


def _comparisons(auroc: pd.DataFrame, precision: pd.DataFrame) -> list[str]:
    header = [f"{DEFAULT} against"]
    header += [f"{measure} {what}" for measure in ("AUROC", "AP") for what in ("gain", "win/tie/loss", "p")]
    others = [str(method) for method in auroc if method != DEFAULT]
    rows = [[other, *_against(auroc, other), *_against(precision, other)] for other in others]
    return markdown_table(header, rows)


def _against(quality: pd.DataFrame, other: str) -> list[str]:
    gain = (quality[DEFAULT] - quality[other]).dropna()
    wins, losses = int((gain > MAX_TIE_GAIN).sum()), int((gain < -MAX_TIE_GAIN).sum())
    counts = f"{wins}/{len(gain) - wins - losses}/{losses}"
    return [number_text(gain.mean(), "+.4f"), counts, number_text(_wilcoxon_p(gain), ".3g")]


def _wilcoxon_p(gain: pd.Series) -> float:
    """Return the two-sided p of the signed-rank test; 1 if there is no difference."""
    return float(wilcoxon(gain).pvalue) if gain.any() else 1.0


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; all columns but the first are numbers."""
    rule = ["---", *("---:" for _ in header[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def number_text(value: float, form: str) -> str:
    """Format a number; empty if it is missing."""
    return "" if pd.isna(value) else format(value, form)
