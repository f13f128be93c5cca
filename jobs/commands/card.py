"""The model card as people read it: the model beside its peers, and the false-positive rates it kept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.output import Output


def card_facts(card: Mapping[str, Any]) -> dict[str, Any]:
    """What fits on a line each."""
    return {name.replace("_", " "): value for name, value in card.items() if not isinstance(value, Mapping)}


def mean_auroc_line(card: Mapping[str, Any]) -> str:
    """The mean over the kinds of synthetic anomalies, the model first.

    >>> mean_auroc_line({"mean_auroc": {"knn": 0.95, "pca": 0.5, "isolation_forest": 0.75, "model": 0.98712}})
    '0.987 (kNN 0.950, isolation forest 0.750, PCA 0.500)'
    >>> mean_auroc_line({"mean_auroc": {}})
    'none can be made of these features'
    """
    from jobs.training.model_card import METHODS

    mean = card["mean_auroc"]
    if not mean:
        return "none can be made of these features"
    peers = [f"{title} {mean[method]:.3f}" for method, title in METHODS.items() if method != "model"]
    return f"{mean['model']:.3f} ({', '.join(peers)})"


def knn_advice(card: Mapping[str, Any], monitor: str) -> str | None:
    """What to do where plain kNN clearly beats the model."""
    if not card["is_beaten_by_knn"]:
        return None
    mean, is_like_knn = card["mean_auroc"], card["score"] == "joint_knn"
    another_score = "" if is_like_knn else f'train with score = "joint_knn" under [monitors.{monitor}.model], '
    return (
        f"Plain kNN finds synthetic anomalies better than this model (mean AUROC {mean['knn']:.3f} against "
        f"{mean['model']:.3f}): {another_score}list fewer or better features, and compare "
        f"on labelled data: plumbline evaluate {monitor}"
    )


def baselines_line(beside: Mapping[str, Any]) -> str:
    """The area under precision over recall, the model first, or why there is none.

    >>> area = {"knn": 0.5, "pca": 0.25, "linear_ar": 0.75, "model": 0.8}
    >>> baselines_line({"problem": None, "auc_pr": area})
    '0.800 (linear AR 0.750, kNN on windows 0.500, PCA on windows 0.250)'
    """
    from jobs.training.model_card import SERIES_METHODS

    if beside["problem"]:
        return f"not known. {beside['problem']}"
    area = beside["auc_pr"]
    baselines = [f"{title} {area[method]:.3f}" for method, title in SERIES_METHODS.items() if method != "model"]
    return f"{area['model']:.3f} ({', '.join(baselines)})"


def baselines_advice(beside: Mapping[str, Any], monitor: str) -> str | None:
    """What to do where a plain baseline clearly beats a model of series."""
    from jobs.training.model_card import baselines_warning

    warning = baselines_warning(beside)
    return warning and (
        f"{warning} Train on more normal records, list fewer or better channels, and compare on labelled data: "
        f"plumbline evaluate {monitor}"
    )


def describe_card(out: "Output", card: Mapping[str, Any], monitor: str) -> None:
    """Print the comparison by kind of anomaly, and the realised rates; models of earlier versions have neither."""
    from jobs.training.model_card import METHODS

    if card.get("kind") == "series":
        _describe_series_card(out, card, monitor)
    if card.get("auroc"):
        # by name: PostgreSQL does not keep the order of keys
        by_kind = [*sorted(card["auroc"].items()), ("mean", card["mean_auroc"])]
        rows = [(kind, *(found[method] for method in METHODS)) for kind, found in by_kind]
        out.table(["anomalies", *METHODS.values()], rows, "AUROC on synthetic anomalies")
        if advice := knn_advice(card, monitor):
            out.say(advice)
    if card.get("realised_rates"):
        rates = sorted(((float(rate), found) for rate, found in card["realised_rates"].items()), reverse=True)
        out.table(["false-positive rate asked", "found on the later held-out half"], rates)


def _describe_series_card(out: "Output", card: Mapping[str, Any], monitor: str) -> None:
    """Print the entities, and what the model and plain baselines made of synthetic anomalies."""
    from jobs.training.model_card import SERIES_METHODS, baseline_rows, entity_rows, weight_table

    out.table(["entity", "records", "model", "calibrated with", "threshold"], entity_rows(card), "Entities")
    columns, rows = weight_table(card)
    if rows:
        out.table(columns, rows, "How much each view counts")
    beside = card.get("beside_baselines")
    if beside is None:  # a model of an earlier version
        return
    if beside["problem"]:
        out.say(f"No comparison with plain baselines. {beside['problem']}")
        return
    out.table(["synthetic anomalies", *SERIES_METHODS.values()], baseline_rows(beside), "Beside plain baselines")
    if advice := baselines_advice(beside, monitor):
        out.say(advice)
