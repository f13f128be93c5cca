"""A model of series survives storage bit for bit, and only the stored content is ever loaded."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from detector.core.blob import digest
from detector.records.artifact import load_artifact
from detector.series import keras_network
from detector.series.artifact import SeriesArtifact, dump_series, load_series, manifest
from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from schemas.errors import ArtifactError
from schemas.frames import Features
from tests.machines import FEATURES, channels, trained


@pytest.fixture(scope="module")
def networked():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_network, "STEPS", 20)
        return trained(network=True, seed=3)


def many_channels(n, seed):
    """Return the values (n, 12) of four machines as those of one."""
    return np.hstack([channels(n, 4 * seed + part)[:, :3] for part in range(4)])


@pytest.fixture(scope="module")
def wide():
    series = {name: Series(np.arange(600), many_channels(600, seed)) for seed, name in enumerate("ab")}
    model = SeriesModel.fit(series, SeriesSettings(network=False))
    names = tuple(f"channel{place}" for place in range(12))
    return SeriesArtifact(Features(names, ()), model, 0.01, {"a": 600, "b": 600}, {})


@pytest.fixture(scope="module")
def networks_blob(networked):
    return dump_series(networked)


@pytest.fixture(scope="module")
def weighted_blob():
    return dump_series(trained(select="auto"))


@pytest.fixture(scope="module", params=["plain", "networked", "weighted"])
def artifact(request):
    settings = {"plain": {"max_gap": 90.0}, "weighted": {"select": "auto"}}
    return trained(**settings[request.param]) if request.param in settings else request.getfixturevalue("networked")


@pytest.fixture(scope="module")
def blob(artifact):
    return dump_series(artifact)


def changed(blob, change=dict, **arrays):
    """Return the blob with another manifest and other arrays; an array that is None is left out."""
    size = int.from_bytes(blob[:8], "little")
    document = json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["manifest"])
    change(document)
    kept = {**load(blob), **{name.replace("__", "/"): array for name, array in arrays.items()}}
    kept = {name: array for name, array in kept.items() if array is not None}
    return save(kept, metadata={"manifest": json.dumps(document)})


def assert_refused(blob, because):
    with pytest.raises(ArtifactError, match=f"^The model artifact .*(?:{because}).*promote another model or train"):
        load_series(blob, digest(blob))


def test_a_stored_model_scores_the_same_bits(artifact, blob):
    again = load_series(blob, digest(blob))
    assert dump_series(again) == blob
    assert (again.features, again.rate, again.entities) == (FEATURES, 0.01, {"a": 600, "b": 600})
    series = Series(np.arange(300), channels(300, seed=5))
    for entity in ("a", "b", "unseen"):
        np.testing.assert_array_equal(again.model.scores(entity, series), artifact.model.scores(entity, series))


def test_the_manifest_is_json_without_arrays(artifact):
    document = manifest(artifact)
    assert json.loads(json.dumps(document, allow_nan=False)) == document | {
        "config": json.loads(json.dumps(document["config"]))
    }
    assert (document["kind"], document["models"]) == ("series", ["a", "b", ""])


def test_a_model_of_an_earlier_version_loads_with_the_causes_that_it_had(artifact, blob):
    older_blob = changed(blob, lambda document: document["config"].pop("recent_causes"))
    older = load_series(older_blob, digest(older_blob))
    assert dump_series(older) == older_blob
    series = Series(np.arange(300), channels(300, seed=5))
    causes, now = older.model.causes("a", series), artifact.model.causes("a", series)
    assert causes.evidence is None
    assert now.evidence is not None
    assert (causes.share != now.share).any()


def test_a_model_of_an_earlier_version_loads_and_remembers_every_record(blob):
    names = ("channels/largest_move", "fusion/highest", "channels/never_still")

    def earlier(document):
        del document["config"]["recovery"]
        for sizes in document["sizes"]:
            del sizes["has_never_still"]

    older_blob = changed(blob, earlier, **{f"{index}/{name}": None for index in range(3) for name in names})
    older = load_series(older_blob, digest(older_blob))
    assert dump_series(older) == older_blob
    glitched = channels(300, seed=5)
    glitched[200, 0] += 50
    scores = older.model.scores("a", Series(np.arange(300), glitched))
    calm = older.model.scores("a", Series(np.arange(300), channels(300, seed=5)))
    assert (scores[202:210] > calm[202:210] + 0.5).all()


def test_a_model_of_an_earlier_version_loads_and_scores_without_dispersion(artifact, blob):
    position = artifact.model.entities["a"].signal_names.index("dispersion")
    arrays = {
        name: None if "/dispersion/" in name else np.delete(array, position, axis=-1)
        for name, array in load(blob).items()
        if ("/dispersion/" in name or "/fusion/" in name) and not name.endswith("added")
    }
    older_blob = changed(blob, lambda document: [sizes.pop("has_dispersion") for sizes in document["sizes"]], **arrays)
    older = load_series(older_blob, digest(older_blob))
    assert dump_series(older) == older_blob
    assert older.model.entities["a"].fusion.alone is None
    noisy = channels(300, seed=5)
    noisy[200:, 0] += 1.5 * np.diff(noisy[:, 0]).std() * np.random.default_rng(0).standard_normal(100)
    series = Series(np.arange(300), noisy)
    lower = older.model.scores("a", series) < artifact.model.scores("a", series)
    assert lower[220:].any()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999999])
def test_one_flipped_bit_is_refused(blob, share):
    tampered = bytearray(blob)
    tampered[int(share * len(blob))] ^= 1
    with pytest.raises(ArtifactError, match=r"has the SHA-256 .*it was changed or truncated"):
        load_series(bytes(tampered), digest(blob))


def test_a_truncated_blob_is_refused_at_every_length(blob):
    for length in [*range(17), *range(17, len(blob), len(blob) // 50), len(blob) - 1]:
        assert_refused(blob[:length], "is truncated|has no readable manifest|is no valid safetensors container")


def test_a_pickle_is_refused_and_not_run():
    class Boom:
        def __reduce__(self):
            return pytest.fail, ("the pickle ran",)

    assert_refused(pickle.dumps(Boom()), "is truncated")


def test_a_model_of_single_records_is_refused_and_so_is_one_of_series_in_its_place(blob):
    assert_refused(changed(blob, lambda document: document.pop("kind")), "wrong kind: Field required")
    with pytest.raises(ArtifactError, match="has a manifest with a wrong"):
        load_artifact(blob, digest(blob))


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda document: document.update(format_version=2), "has the format version 2"),
        (lambda document: document.update(kind="records"), "wrong kind"),
        (lambda document: document.update(code="import os"), "wrong code"),
        (lambda document: document["config"].update(smoothing=[10**9]), "wrong config.smoothing.0"),
        (lambda document: document["config"].update(smoothing=[]), "wrong config.smoothing"),
        (lambda document: document["config"].update(max_gap=-1.0), "wrong config.max_gap"),
        (lambda document: document["config"].update(__class__="os"), "wrong config.__class__"),
        (lambda document: document.update(models=[]), "wrong models"),
        (lambda document: document.update(models=["a", "a", ""]), "two models of one name"),
        (lambda document: document.update(models=["a", "b"]), "has 2 models and the sizes of 3"),
        (lambda document: document.update(models=["a", "b", "c"]), "lacks the model that entities share"),
        (lambda document: document["sizes"][0].update(levels=10**9), "has 0/views/levels as"),
        (lambda document: document.update(numeric=["torque"]), "has 0/channels/mean as float64\\(4,\\), expected"),
        (lambda document: document.update(numeric=[], boolean=[]), "has no features"),
        (lambda document: document.update(boolean=["torque"]), "or two of one name"),
        (lambda document: document.update(rate=0), "wrong rate"),
    ],
)
def test_a_hostile_manifest_is_refused(blob, change, because):
    assert_refused(changed(blob, change), because)


def test_every_array_is_needed_in_its_shape_and_type_and_none_else(blob):
    for name, array in load(blob).items():
        if not name.startswith("0/"):
            continue
        assert_refused(changed(blob, **{name: None}), f"lacks the array {name}")
        assert_refused(changed(blob, **{name: np.zeros((*array.shape, 1), array.dtype)}), f"has {name} as .*expected")
        assert_refused(changed(blob, **{name: array.astype("int8")}), f"has {name} as int8.*expected|neither 0 nor 1")
        hostile = np.full_like(array, np.nan)
        assert_refused(changed(blob, **{name: hostile}), "not finite|expected")
    assert_refused(changed(blob, extra=np.zeros(1)), "holds the array extra")


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda document: document["config"].update(network=False), "network = False, but a model does not match"),
        (lambda document: document["sizes"][1].pop("network"), "network = True, but a model does not match"),
        (lambda document: document["sizes"][0].update(network=None), "network = True, but a model does not match"),
        (lambda document: document["sizes"][0]["network"].update(latent=513), "wrong sizes.0.network.latent"),
        (lambda document: document["sizes"][0]["network"].update(latent=5), "has 0/network/.* expected"),
        (lambda document: document["sizes"][0]["network"].update(hidden=10**9), "wrong sizes.0.network.hidden"),
        (lambda document: document["sizes"][0]["network"].update(hidden=63), "has 0/network/weights/.* expected"),
        (lambda document: document["sizes"][0]["network"].update(latents=7), "has 0/network/latents as .* expected"),
        (lambda document: document["sizes"][0]["network"].update(layers=9), "wrong sizes.0.network.layers"),
        (lambda document: document["config"].update(seed=-1), "wrong config.seed"),
        (lambda document: document["config"].update(score="other"), "wrong config.score"),
    ],
)
def test_networks_that_differ_from_the_manifest_are_refused(networks_blob, change, because):
    assert_refused(changed(networks_blob, change), because)


def test_deciles_that_do_not_ascend_are_refused(blob):
    array = load(blob)["2/deciles"]
    array[3, 1] = array[2, 1] - 1
    assert_refused(changed(blob, **{"2/deciles": array}), "has numbers in 2/deciles that do not ascend")


@pytest.mark.parametrize("name", ["0/network/deviation", "2/network/resolution"])
def test_units_of_a_network_are_positive(networks_blob, name):
    array = load(networks_blob)[name]
    array[0] = 0
    assert_refused(changed(networks_blob, **{name: array}), f"has numbers in {name} that are not positive")


def test_weights_of_signals_are_not_negative_and_belong_to_models_that_weigh(weighted_blob):
    negative = changed(weighted_blob, **{"0/fusion/weights": -np.ones(7)})
    assert_refused(negative, "has numbers in 0/fusion/weights that are negative")
    without = changed(weighted_blob, lambda document: document["config"].update(select="all"))
    assert_refused(without, "holds the array [012]/fusion/weights")
    assert_refused(
        changed(weighted_blob, lambda document: document["config"].update(select="best")), "wrong config.select"
    )


@pytest.mark.parametrize(
    ("name", "value", "because"),
    [
        ("1/fusion/spread", 0.0, "not positive"),
        ("1/own/error", -1.0, "not positive"),
        ("1/channels/deviation", -1.0, "negative"),
        ("1/channels/missing_share", -0.5, "negative"),
    ],
)
def test_numbers_that_no_training_makes_are_refused(blob, name, value, because):
    array = np.full_like(load(blob)[name], value)
    assert_refused(changed(blob, **{name: array}), f"has numbers in {name} that are {because}")


@pytest.mark.parametrize(("name", "value"), [("time_zone", "Atlantis/Port"), ("holidays", ["2026-02-30"])])
def test_a_calendar_that_no_clock_can_read_is_refused(blob, name, value):
    assert_refused(changed(blob, lambda document: document["config"].update({name: value})), f"wrong config.{name}")


def test_factors_of_added_alarms_are_not_negative_and_older_networks_have_none(networks_blob):
    negative = changed(networks_blob, **{"0/fusion/added": -np.ones(2)})
    assert_refused(negative, "has numbers in 0/fusion/added that are negative")
    older = changed(
        networks_blob,
        lambda document: [sizes.pop("has_added") for sizes in document["sizes"]],
        **{f"{index}/fusion/added": None for index in range(3)},
    )
    model = load_series(older, digest(older)).model
    assert model.signal_weights(next(iter(model.entities))) is None


def test_a_model_of_an_earlier_version_adds_no_total(wide):
    older = without_total(dump_series(wide))
    artifact = load_series(older, digest(older))
    assert dump_series(artifact) == older
    series = Series(np.arange(300), many_channels(300, seed=5))
    now = wide.model.entities["a"]
    expected = replace(now, fusion=now.fusion.adding(np.zeros(1))).scored(series).scores
    np.testing.assert_array_equal(artifact.model.scores("a", series), expected)
    added = now.scored(series).scores - expected
    assert added.min() >= 0
    assert added.max() > 0


def test_a_total_has_its_scale_and_its_factor(wide):
    blob = dump_series(wide)
    arrays = {f"{index}/fusion/added": None for index in range(3)}
    unadded = changed(blob, lambda document: [sizes.pop("has_added") for sizes in document["sizes"]], **arrays)
    assert_refused(unadded, "0/fusion/added")
    assert_refused(changed(blob, **{"0/total/mean": np.zeros(1)}), "has 0/total/mean as")


def without_total(blob):
    """Return the blob of a model without a network as earlier versions stored it."""
    arrays = load(blob)
    scales = [f"{index}/fusion/{name}" for index in range(3) for name in ("median", "centre", "spread", "highest")]
    removed = [name for name in arrays if "/total/" in name or name.endswith("/fusion/added")]
    cut = {name: np.ascontiguousarray(arrays[name][..., :-1]) for name in scales}
    return changed(
        blob,
        lambda document: [sizes.pop(part) for sizes in document["sizes"] for part in ("has_total", "has_added")],
        **dict.fromkeys(removed),
        **cut,
    )
