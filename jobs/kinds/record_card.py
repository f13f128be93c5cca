"""The card of a model of single records as people read it."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jobs.kinds.card_text import CardTable, Paragraph, origin
from jobs.wording import percent, toml_text

if TYPE_CHECKING:
    from detector.records.card import PeerComparison, RecordCard

MIN_ADVISED_SHARE = 0.01  # of unusual training records, which one clean benchmark table in twenty reaches
METHOD_TITLES = {"model": "model", "knn": "kNN", "isolation_forest": "isolation forest", "pca": "PCA"}


class RecordCardText:
    """The text of the cards of models of single records."""

    limits = (
        "The model judges each record by itself, by the features above, and flags what is rare among its training "
        "records, harmful or not. Results on synthetic anomalies hold for errors of their kind; real anomalies may "
        "differ. Its false-positive rate holds as long as new normal records resemble its calibration records."
    )

    def training_facts(self, card: "RecordCard") -> dict[str, Any]:
        """Return the facts that a training prints."""
        return {
            "records trained on": card.training_records,
            "records calibrated with": card.calibration_records,
            "features / encoded columns": f"{card.features} / {card.cells}",
            "epochs": card.epochs,
            "held-out ELBO (nats per record)": card.held_out_elbo,
            f"threshold of the {card.score} score": card.threshold,
            "false-positive rate": card.false_positive_rate,
            **_realised(card),
            "AUROC on synthetic anomalies": mean_auroc_line(card.peers.mean_auroc),
            "training records unlike others": unusual_share(card),
            **_labels(card),
        }

    def training_advice(self, card: "RecordCard", monitor: str) -> Iterator[str]:
        """Yield warnings: records unlike the others, unsteady features, and a lead of plain kNN."""
        yield from outlier_advice(card, monitor)
        if advice := unusual_advice(card, monitor):
            yield advice
        yield from card.unsteady.values()
        if advice := knn_advice(card, monitor):
            yield advice

    def details(self, card: "RecordCard", monitor: str) -> Iterator[str | CardTable]:
        """Yield what labels did, the comparison by kind of anomaly, and the realised rates."""
        if card.labels is not None:
            yield f"Labels: {labels_line(card.labels)}."
        if card.peers.auroc:
            yield CardTable(
                ["anomalies", *METHOD_TITLES.values()], auroc_rows(card.peers), "AUROC on synthetic anomalies"
            )
        yield from self.training_advice(card, monitor)
        if card.peers.realised_rates:
            columns = ["configured false-positive rate", "realised on the later held-out half"]
            yield CardTable(columns, realised_rate_rows(card.peers))

    def sections(self, card: "RecordCard", manifest: Mapping[str, Any]) -> dict[str, list[Paragraph]]:
        """Return the sections on the model itself, by title, for Markdown."""
        facts = {
            "score": card.score,
            "threshold": card.threshold,
            "threshold set by": card.threshold_method,
            "false-positive rate": card.false_positive_rate,
            **_realised(card),
            "held-out ELBO, nats per record in its own units": card.held_out_elbo,
            "epochs": card.epochs,
            "encoded columns": card.cells,
            "calibration records unlike the others, which set no threshold": card.outliers or None,
            "training records unlike the others": unusual_share(card),
            **_labels(card),
            **origin(manifest),
        }
        columns = [(column["name"], column["type"]) for column in manifest.get("columns", ())]
        return {
            "Model": [facts, CardTable(("feature", "learned as"), columns)],
            "Comparison with simple peers": list(_peers(card.peers)),
        }


def rate_range(card: "RecordCard") -> str | None:
    """Return the range of the rate that so many calibration records allow; None if ranks do not set the threshold."""
    bounds = card.rate_bounds
    return None if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def mean_auroc_line(mean_auroc: Mapping[str, float]) -> str:
    """Return the mean over the kinds of synthetic anomalies, the model first.

    >>> mean_auroc_line({"knn": 0.95, "pca": 0.5, "isolation_forest": 0.75, "model": 0.98712})
    '0.987 (kNN 0.950, isolation forest 0.750, PCA 0.500)'
    >>> mean_auroc_line({})
    'not available: the features allow no synthetic anomalies'
    """
    if not mean_auroc:
        return "not available: the features allow no synthetic anomalies"
    peers = [f"{title} {mean_auroc[method]:.3f}" for method, title in METHOD_TITLES.items() if method != "model"]
    return f"{mean_auroc['model']:.3f} ({', '.join(peers)})"


def labels_line(labels: Mapping[str, Any]) -> str:
    """Return what labels did to a model.

    >>> few = {"confirmed": 2, "false_positives": 3, "is_used": False, "gain": None, "reason": "they are fewer than 10"}
    >>> labels_line(few)
    '2 confirmed, 3 false positives; they raise no score: they are fewer than 10'
    >>> labels_line(few | {"is_used": True, "gain": 0.2, "features": {"flow": -1.0, "temp": 0.6}})
    '2 confirmed, 3 false positives; they raise scores (cross-validated gain 22%): flow below, temp above'
    """
    counts = f"{labels['confirmed']:,} confirmed, {labels['false_positives']:,} false positives"
    if not labels["is_used"]:
        gain = "" if labels["gain"] is None else f" ({_gain(labels)})"
        return f"{counts}; they raise no score: {labels['reason']}{gain}"
    sides = [f"{name} {'below' if weight < 0 else 'above'}" for name, weight in labels["features"].items()]
    return f"{counts}; they raise scores (cross-validated gain {_gain(labels)}): {', '.join(sides)}"


def _gain(labels: Mapping[str, Any]) -> str:
    return f"{math.expm1(labels['gain']):.0%}"


def _realised(card: "RecordCard") -> dict[str, str]:
    bounds = rate_range(card)
    return {} if bounds is None else {"rate on new records (95 %)": bounds}


def _labels(card: "RecordCard") -> dict[str, str]:
    return {} if card.labels is None else {"labels": labels_line(card.labels)}


def knn_advice(card: "RecordCard", monitor: str) -> str | None:
    """Return advice if plain kNN clearly beats the model, or None."""
    if not card.peers.is_beaten_by_knn:
        return None
    mean, is_like_knn = card.peers.mean_auroc, card.score == "joint_knn"
    another_score = "" if is_like_knn else f'train with score = "joint_knn" under [monitors.{monitor}.model], '
    return (
        f"Plain kNN finds synthetic anomalies better than this model (mean AUROC {mean['knn']:.3f} against "
        f"{mean['model']:.3f}): {another_score}list fewer or better features, and compare "
        f"on labelled data: plumbline evaluate {monitor}"
    )


def outlier_advice(card: "RecordCard", monitor: str) -> Iterator[str]:
    """Yield the calibration records that look unlike the others, with the lines that leave them out."""
    if not card.outliers:
        return
    listed = "\n".join(f"  {key}: {value}" for key, value in card.outlying_records.items())
    records, verb = ("record", "looks") if card.outliers == 1 else ("records", "look")
    yield (
        f"{card.outliers:,} {records} of your normal data {verb} unlike the others, and did not set the threshold:\n"
        f"{listed}\nIf they are not normal, leave them out of the next training, in config.toml:\n"
        f"  [monitors.{monitor}]\n  normal = {toml_text(card.without_outliers or '')}\n"
        "If they are, let them set the threshold: trust_outliers = true"
    )


def unusual_share(card: "RecordCard") -> str | None:
    """Return the estimated share of training records unlike the others; None if there is no estimate."""
    if card.unusual_share is None:
        return None
    return f"about {percent(card.unusual_share)}" if card.unusual_share > 0 else "none"


def unusual_advice(card: "RecordCard", monitor: str) -> str | None:
    """Return advice if many training records look unlike the others, or None."""
    share = card.unusual_share or 0.0
    if share < MIN_ADVISED_SHARE:
        return None
    listed = "\n".join(f"  {key}: {value}" for key, value in card.unusual_records.items())
    return (
        f"About {percent(share)} of the training records look unlike the others, first of all:\n{listed}\n"
        "Anomalies like training records are not found. If some of the records are not normal, leave them out by "
        f"`normal` in config.toml, or leave out that share: trim = {share:.2f} under [monitors.{monitor}.model]. "
        "Wrong records that resemble each other are not counted."
    )


def auroc_rows(peers: "PeerComparison") -> list[tuple[Any, ...]]:
    """Return the AUROC of each method by kind of synthetic anomaly, and the mean; by name, as JSON keeps no order."""
    by_kind = [*sorted(peers.auroc.items()), ("mean", peers.mean_auroc)]
    return [(kind, *(areas[method] for method in METHOD_TITLES)) for kind, areas in by_kind]


def realised_rate_rows(peers: "PeerComparison") -> list[tuple[float, float]]:
    """Return the configured rates with the realised ones, the largest first."""
    return sorted(peers.realised_rates.items(), reverse=True)


def _peers(peers: "PeerComparison") -> Iterator[Paragraph]:
    if not peers.auroc:
        yield "No synthetic anomaly can be made of these features."
        return
    yield f"AUROC on anomalies made of {peers.compared_records:,} held-out normal records, on the same data."
    yield CardTable(("anomalies", *METHOD_TITLES.values()), auroc_rows(peers))
    if peers.is_beaten_by_knn:
        yield "Plain kNN finds them clearly better than this model."
    if peers.realised_rates:
        yield "False-positive rates on the later half of the held-out records, at thresholds by the earlier half."
        yield CardTable(("configured", "realised"), realised_rate_rows(peers))
