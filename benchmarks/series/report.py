"""The Markdown summary of a results file of series: ranking, calibration and attribution of every method."""

from collections.abc import Sequence

import pandas as pd

from benchmarks.report import markdown_table, number_text
from benchmarks.series.measures import RATE
from benchmarks.series.results import FIXED_RATE, ONLINE_RATE
from detector.core.threshold_tracking import CALM_RECORDS

QUALITY = {"vus_pr": "VUS-PR", "auc_pr": "AUC-PR", "auroc": "AUROC"}
ATTRIBUTION = {"ndcg5": "NDCG@5", "hit100": "Hit@100%"}
THRESHOLDS = {"fixed": (FIXED_RATE, ""), "online": (ONLINE_RATE, "_online")}  # the rate, and the end of other names
_MODEL = ["dataset", "training", "seed"]
MAX_RATE_FACTOR = 2.0  # between the realised and the configured rate
MIN_RATE_RECORDS = 10 / RATE  # normal records by which a model shows its rate: ten of them are to be flagged


def summary(results: pd.DataFrame) -> str:
    """Render the ranking by method and set, the calibration of the thresholds and the attribution."""
    by_set = _by_set(results)
    complete = by_set["vus_pr"].unstack("method").dropna().index
    if not len(complete):
        return "No set has been measured with all methods yet.\n"
    by_set = by_set.loc[by_set.index.get_level_values("dataset").isin(complete)]
    left_out = sorted(set(results["dataset"]) - set(complete))
    note = f" Left out because a method lacks them: {', '.join(left_out)}." if left_out else ""
    lines = [
        "## Ranking",
        "",
        f"Means x 100 over entities, then {len(complete)} sets; {results['seed'].nunique()} seed(s).{note}",
        "",
        *_macro(by_set),
        *(line for measure in ("vus_pr", "auc_pr") for line in ["", *_by_measure(by_set, measure)]),
        *_section(f"Calibration at a rate of {RATE:.0%}", _calibration(results)),
        *_section("Attribution", _attribution(results)),
    ]
    return "\n".join(lines) + "\n"


def _by_set(results: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds, then over entities, by set and method."""
    by_entity = results.groupby(["dataset", "entity", "method"]).mean(numeric_only=True)
    return by_entity.groupby(["dataset", "method"]).mean()


def _macro(by_set: pd.DataFrame) -> list[str]:
    means = by_set.groupby("method").mean().sort_values("vus_pr", ascending=False)
    rows = [
        [
            str(method),
            *(f"{100 * line[measure]:.1f}" for measure in QUALITY),
            f"{line['fit_seconds']:.2f}",
            f"{line['records_per_second']:,.0f}",
        ]
        for method, line in means.iterrows()
    ]
    return markdown_table(["method", *QUALITY.values(), "fit s a model", "records/s"], rows)


def _by_measure(by_set: pd.DataFrame, measure: str) -> list[str]:
    table = by_set[measure].unstack("dataset")
    table = table.loc[table.mean(axis=1).sort_values(ascending=False).index]
    rows = [[str(method), *(f"{100 * value:.1f}" for value in line)] for method, line in table.iterrows()]
    return markdown_table([f"{QUALITY[measure]} by set", *map(str, table.columns)], rows)


def _section(title: str, table: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *table] if table else []


def _calibration(results: pd.DataFrame) -> list[str]:
    """Compare the share of normal records that each model flags with the configured rate.

    Entities that share a model are pooled, weighted by their normal records: a short series alone is too small to
    estimate a rate. Models with too few normal records for that, or with too few calibration records for the rate, are
    counted separately. Settled rates are those without the records before a level became usual.
    """
    rows = [
        [f"{method} {name}", *_calibration_of(by_method, *columns)]
        for method, by_method in results.groupby("method", sort=False)
        for name, columns in THRESHOLDS.items()
    ]
    near = f"within {MAX_RATE_FACTOR:g}x"
    header = ["method and threshold", "models x seeds", "too few records", "median", near]
    header += ["settled: median", near, "worst", "anomalies found", "their records flagged"]
    return markdown_table([*header, f"gaps up to {CALM_RECORDS} records", "found as one incident"], rows)


def _calibration_of(results: pd.DataFrame, rate: str, ending: str) -> list[str]:
    detected = results.dropna(subset=f"event_recall{ending}")
    found = detected[f"event_recall{ending}"] * detected["events"]
    realised = _rates(results, rate, "normal_records")
    settled = _rates(results, f"settled_rate{ending}", f"settled_records{ending}")
    return [
        f"{len(realised)}",
        f"{results.groupby(_MODEL).ngroups - len(realised)}",
        *_median_and_near(realised),
        *_median_and_near(settled),
        number_text(settled.max(), ".1%"),
        number_text(found.sum() / max(detected["events"].sum(), 1), ".0%"),
        *(
            number_text((detected[f"{name}{ending}"].fillna(0) * found).sum() / max(found.sum(), 1), ".0%")
            for name in ("found_share", "single_share", "joined_share")
        ),
    ]


def _rates(results: pd.DataFrame, rate: str, records: str) -> "pd.Series[float]":
    """Return the realised rate of each model that shows one, over all of its series."""
    measured = results.dropna(subset=rate)
    models = measured.assign(flagged=measured[rate] * measured[records]).groupby(_MODEL)[["flagged", records]].sum()
    models = models[models[records] >= MIN_RATE_RECORDS]
    return models["flagged"] / models[records]


def _median_and_near(rates: "pd.Series[float]") -> list[str]:
    is_near = rates.between(RATE / MAX_RATE_FACTOR, RATE * MAX_RATE_FACTOR)
    return [number_text(rates.median(), ".2%"), number_text(is_near.mean(), ".0%")]


def _attribution(results: pd.DataFrame) -> list[str]:
    """Return means x 100 over entities, of the sets with known causes and the methods that name causes."""
    named = _by_set(results)[list(ATTRIBUTION)].dropna()
    if named.empty:
        return []
    table = named.reset_index().pivot(index="method", columns="dataset", values=list(ATTRIBUTION))
    columns = [(measure, dataset) for dataset in named.index.unique("dataset") for measure in ATTRIBUTION]
    header = ["method", *(f"{dataset} {ATTRIBUTION[measure]}" for measure, dataset in columns)]
    rows = [
        [str(method), *(number_text(100 * value, ".1f") for value in line)]
        for method, line in table[columns].iterrows()
    ]
    return markdown_table(header, rows)
