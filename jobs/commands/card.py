"""The model card as people read it: the model beside its peers, and the false-positive rates it kept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.output import Output

_PEERS = {"knn": "kNN", "isolation_forest": "isolation forest", "pca": "PCA"}


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
    mean = card["mean_auroc"]
    if not mean:
        return "none can be made of these features"
    peers = [f"{title} {mean[method]:.3f}" for method, title in _PEERS.items()]
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


def describe_card(out: "Output", card: Mapping[str, Any], monitor: str) -> None:
    """Print the comparison by kind of anomaly, and the realised rates; models of earlier versions have neither.

    Of a model of series print its entities.
    """
    if card.get("kind") == "series":
        from jobs.model_card import entity_rows

        out.table(["entity", "records", "model", "calibrated with", "threshold"], entity_rows(card), "Entities")
    if card.get("auroc"):
        # by name: PostgreSQL does not keep the order of keys
        by_kind = [*sorted(card["auroc"].items()), ("mean", card["mean_auroc"])]
        rows = [(kind, found["model"], *(found[method] for method in _PEERS)) for kind, found in by_kind]
        out.table(["anomalies", "model", *_PEERS.values()], rows, "AUROC on synthetic anomalies")
        if advice := knn_advice(card, monitor):
            out.say(advice)
    if card.get("realised_rates"):
        rates = sorted(((float(rate), found) for rate, found in card["realised_rates"].items()), reverse=True)
        out.table(["false-positive rate asked", "found on the later held-out half"], rates)
