"""A stored model comes back as it was, or is refused with the reason."""

import ast
import io
import json
import pickle
import tracemalloc
import zipfile
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import load, save

import detector.core.blob
from detector.core.arithmetic import CHOICE
from detector.core.blob import digest
from detector.records.artifact import dump_artifact, load_artifact, manifest
from detector.records.contrast import contrast_factors
from detector.records.coordinates import MIN_LATENT_SD, squashed_cells
from detector.records.exemplar_prior import ExemplarPrior
from detector.records.posterior import clean_inputs
from detector.records.score_range import compressed
from detector.records.scorer import RecordScorer
from detector.records.scores import SCORES
from schemas.errors import ArtifactError
from tests.samples import make_records

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def blob(artifact):
    return dump_artifact(artifact)


def opened(blob):
    """Return the header of a blob as a dict, and the bytes behind it."""
    end = 8 + int.from_bytes(blob[:8], "little")
    return json.loads(blob[8:end]), blob[end:]


def closed(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def with_manifest_text(blob, text):
    header, data = opened(blob)
    return closed({**header, "__metadata__": {"manifest": text}}, data)


def with_value(blob, path, value):
    """Return the blob with one value of its manifest replaced; `path` names it with dots."""
    header, _ = opened(blob)
    document = json.loads(header["__metadata__"]["manifest"])
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    reduce(lambda place, part: place[part], parents, document)[last] = value
    return with_manifest_text(blob, json.dumps(document))


def with_arrays(blob, **changes):
    """Return the blob with arrays replaced, added or, for None, left out; a double underscore stands for the slash."""
    arrays = load(blob) | {name.replace("__", "/"): array for name, array in changes.items()}
    header, _ = opened(blob)
    return save({name: array for name, array in arrays.items() if array is not None}, header["__metadata__"])


def assert_refused(blob, because):
    """Assert that the blob is refused for a reason, though its digest is right."""
    with pytest.raises(
        ArtifactError, match=f"^The model artifact .*(?:{because}).*promote another model or train again"
    ):
        load_artifact(blob, digest(blob))


def test_a_stored_model_comes_back_as_it_was(artifact, blob):
    again = load_artifact(blob, digest(blob))
    assert dump_artifact(again) == blob
    assert manifest(again) == json.loads(json.dumps(manifest(artifact)))
    assert again.encoder.columns == artifact.encoder.columns
    assert again.decision == artifact.decision
    for name, array in artifact.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)


def test_a_model_of_a_version_without_inputs_scores_as_before_and_has_the_other_scores(artifact, blob):
    older = with_arrays(with_value(blob, "config.score", "combined"), reference__inputs=None)
    model = RecordScorer(load_artifact(older, digest(older))).model
    records, scores = make_records(50, seed=1), RecordScorer(artifact).model.anomaly_scores(make_records(50, seed=1))
    assert model.score_names == tuple(name for name in SCORES if name != "ensemble")
    for name, expected in model.anomaly_scores(records).items():
        np.testing.assert_array_equal(scores[name], expected)
    with pytest.raises(ArtifactError, match="without the score 'ensemble'"):
        model.anomaly_scores(records, ("ensemble",))


def test_a_model_of_a_version_without_a_joint_elbo_has_the_elbo_of_before(blob):
    header, _ = opened(blob)
    document = json.loads(header["__metadata__"]["manifest"])
    assert document.pop("has_joint_elbo")
    older = with_manifest_text(blob, json.dumps(document))
    model, records = RecordScorer(load_artifact(older, digest(older))).model, make_records(50, seed=1)
    records.loc[0, "flow"] = 500.0  # a squashed cell would cost less
    posterior = model.network.posterior(clean_inputs(model.encoder.encode(records), model.network.architecture))
    sd, search = np.maximum(model.reference.latent_sd, MIN_LATENT_SD), model._search
    points = model.reference.trained[search.exemplars, : sd.size].astype(np.float64) * np.sqrt(len(sd))
    prior = ExemplarPrior(points.reshape(-1, *sd.shape), sd)
    divergence = prior.divergence(posterior.z_mean, posterior.z_log_var, np.full(50, -1))
    expected = posterior.nll.sum(axis=1, dtype=np.float64) + divergence
    nats = model.encoder.encode(records).violations * np.log(model.reference.n_train + 2)
    np.testing.assert_array_equal(model.anomaly_scores(records, ("elbo",))["elbo"], expected + nats)


def test_a_model_of_the_ensemble_needs_the_inputs_of_its_reference(blob):
    assert_refused(with_arrays(blob, reference__inputs=None), because="lacks the array reference/inputs")


def test_the_spaces_are_read_and_a_model_of_a_version_without_them_scores_the_same_bits(artifact, blob):
    loaded, names = load_artifact(blob, digest(blob)), [name for name in load(blob) if name.startswith("spaces/")]
    older = with_arrays(blob, **dict.fromkeys(names))
    models = [RecordScorer(one).model for one in (loaded, load_artifact(older, digest(older)))]
    np.testing.assert_array_equal(*(model.anomaly_score(make_records(50, seed=1)) for model in models))
    read = [state.partition for state in loaded.reference.states]
    assert len(read) == len(artifact.reference.spaces)
    assert all(space.search.partition is one for space, one in zip(models[0]._search.spaces, read, strict=True))
    assert not models[1].reference.states


def test_a_model_of_a_version_without_contrast_forests_keeps_its_scores(artifact, blob):
    names = [name for name in load(blob) if name.startswith("contrast/")]
    older = with_arrays(blob, **dict.fromkeys(names))
    records = make_records(50, seed=1)
    new, old = (RecordScorer(load_artifact(one, digest(one))).model for one in (blob, older))
    own = np.full(50, -1)
    factors = contrast_factors(artifact.reference.contrasts, squashed_cells(new.encoder.encode(records)), own)
    np.testing.assert_array_equal(old.anomaly_score(records) * factors, new.anomaly_score(records))
    assert (factors > 1).all()


def test_a_model_of_the_version_before_the_range_keeps_its_scores_and_the_causes_of_the_networks(artifact):
    def of_before(forest):
        values = np.where(forest.trees.limits < np.finfo(np.float32).max, np.float32(0), forest.trees.values)
        return replace(forest, spread=1e-3, trees=forest.trees._replace(values=values))

    contrasts = tuple(map(of_before, artifact.reference.contrasts))
    written = [
        dump_artifact(with_reference(artifact, contrasts=forests, compresses=False)) for forests in (contrasts, ())
    ]
    document = json.loads(opened(written[0])[0]["__metadata__"]["manifest"])
    del document["compresses"]
    blobs = with_manifest_text(written[0], json.dumps(document)), written[1]
    old, without = (RecordScorer(load_artifact(blob, digest(blob))).model for blob in blobs)
    records = make_records(50, seed=1).assign(flow=500.0)
    scores = old.anomaly_score(records)
    assert scores.min() > 2048
    new = RecordScorer(with_reference(artifact, contrasts=contrasts)).model
    assert new.anomaly_score(records).tolist() == compressed(scores).tolist()
    shares = [model.attribution(records, scores).share for model in (old, without)]
    np.testing.assert_array_equal(*shares)


def with_reference(artifact, **changes):
    return replace(artifact, reference=replace(artifact.reference, **changes))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("children", lambda children: children + np.int32(1), "nodes of contrast/1 whose children do not exist"),
        ("children", lambda children: children - np.int32(10**6), "nodes of contrast/1 whose children do not exist"),
        ("children", lambda children: np.append(np.int32(2**31 - 1), children[1:]), "children do not exist"),
        ("roots", lambda roots: np.repeat(roots, 100), "has contrast/1/roots as"),
        ("levels", lambda levels: levels + np.int32(100), "trees of contrast/1 with more than 100 levels"),
        ("columns", lambda columns: columns + np.int32(100), "trees of contrast/1 without a root, or of cells"),
        ("roots", lambda roots: roots - np.int32(1), "trees of contrast/1 without a root"),
        ("roots", lambda roots: roots[:0], "has contrast/1/levels as"),
        ("limits", lambda limits: limits[1:], "has contrast/1/limits as"),
        ("usual", lambda usual: -np.abs(usual), "a spread of contrast/1 that is not above 0"),
        ("roots", lambda _: None, "holds the array contrast/1/"),
    ],
)
def test_contrast_forests_that_do_not_fit_are_refused(blob, name, change, reason):
    array = change(load(blob)[f"contrast/1/{name}"])
    assert_refused(with_arrays(blob, **{f"contrast__1__{name}": array}), because=reason)


def test_a_model_that_scores_takes_at_most_four_times_the_memory_of_its_blob(artifact):
    rng, old = np.random.default_rng(0), artifact.reference
    points, inputs = (
        rng.standard_normal((8_000, array.shape[1])).astype(np.float32) for array in (old.points, old.inputs)
    )
    large = replace(artifact, reference=replace(old, points=points, inputs=inputs, calibrating=0, states=()))
    blob = dump_artifact(replace(large, reference=RecordScorer(large).model.stored_reference))
    records = make_records(100)
    tracemalloc.start()
    with CHOICE.only("numpy"):
        RecordScorer(load_artifact(blob, digest(blob))).score(records)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(blob)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("order", np.zeros_like, "points of spaces/1 in no cell or in two"),
        ("sizes", lambda sizes: sizes[::-1] * np.int32(2), "cells of spaces/1 that do not hold its points"),
        ("sizes", lambda sizes: sizes[:0], "no axes or cells of spaces/1 that fit"),
        ("sizes", lambda sizes: np.ones(sizes.sum(), np.int32), "no axes or cells of spaces/1 that fit"),
        ("axes", lambda axes: axes[0], "no axes or cells of spaces/1 that fit"),
        ("means", lambda means: means[1:], "has spaces/1/means as"),
        ("usual", lambda usual: -usual, "a usual distance of spaces/1 that is not above 0"),
        ("centre", lambda _: None, "lacks the array spaces/1/centre"),
    ],
)
def test_spaces_that_do_not_fit_are_refused(blob, name, change, reason):
    array = change(load(blob)[f"spaces/1/{name}"])
    assert_refused(with_arrays(blob, **{f"spaces__1__{name}": array}), because=reason)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999999])
def test_one_flipped_bit_is_refused(blob, share):
    tampered = bytearray(blob)
    tampered[int(share * len(blob))] ^= 1
    with pytest.raises(ArtifactError, match=r"has the SHA-256 .*it was changed or truncated"):
        load_artifact(bytes(tampered), digest(blob))


def test_a_digest_of_another_blob_is_refused(blob):
    with pytest.raises(ArtifactError, match=f"SHA-256 {digest(blob)[:12]}…, recorded was 000000000000…"):
        load_artifact(blob, "0" * 64)


def test_a_truncated_blob_is_refused_at_every_length(blob):
    lengths = [*range(17), *range(17, len(blob), len(blob) // 200), len(blob) - 1]
    for length in lengths:
        assert_refused(blob[:length], "is truncated|has no readable manifest|is no valid safetensors container")


def test_bytes_behind_the_last_array_are_refused(blob):
    assert_refused(blob + b"\0", "is no valid safetensors container")


def test_a_blob_beyond_the_limit_is_refused_before_it_is_read(blob, monkeypatch):
    monkeypatch.setattr(detector.core.blob, "MAX_BYTES", len(blob) - 1)
    assert_refused(blob, f"has {len(blob)} bytes, more than {len(blob) - 1}")


def test_a_pickle_is_refused_and_not_run():
    class Boom:
        def __reduce__(self):
            return pytest.fail, ("the pickle ran",)

    assert_refused(pickle.dumps(Boom()), "is truncated")
    assert_refused(pickle.dumps({"weights": [0.0] * 100}), "is truncated")


def test_a_zip_archive_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.weights.h5", b"\0" * 1000)
    assert_refused(buffer.getvalue(), "is truncated")


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_an_unknown_format_version_is_refused(blob, version):
    assert_refused(with_value(blob, "format_version", version), "has the format version .*, this program reads 1")


@pytest.mark.parametrize(
    "text", ["", "not JSON", "{", '"text"', "[]", "null", "[" * 100_000, '{"a":' * 100_000, "1" * 5000]
)
def test_a_manifest_that_is_no_object_in_json_is_refused(blob, text):
    assert_refused(with_manifest_text(blob, text), "has no readable manifest|has the format version None")


@pytest.mark.parametrize(
    "header",
    [b"", b"[]", b"{}", b"\xff\xfe", b'{"__metadata__": {"manifest": 3}}', b'{"__metadata__": []}', b"[" * 9999],
)
def test_a_header_without_a_manifest_is_refused(blob, header):
    assert_refused(closed(header, opened(blob)[1]), "has no readable manifest")


@pytest.mark.parametrize(
    ("path", "value", "because"),
    [
        ("architecture.members", 65, "wrong architecture.members: .*less than or equal to 64"),
        ("architecture.members", 10**30, "wrong architecture.members"),
        ("architecture.hidden", 10**12, "wrong architecture.hidden: .*less than or equal to 4096"),
        ("architecture.latent", 10**9, "wrong architecture.latent: .*less than or equal to 512"),
        ("architecture.latent", 0, "wrong architecture.latent: .*greater than or equal to 1"),
        ("architecture.width", 10**9, "wrong architecture.width"),
        ("architecture.kind", "flow", "wrong architecture.kind: Input should be 'vae' or 'autoencoder'"),
        ("architecture", [], "wrong architecture"),
        ("config.neighbours", 10**9, "wrong config.neighbours"),
        ("config.lambda", "import os", "wrong config.lambda: Extra inputs are not permitted"),
        ("n_train", -1, "wrong n_train"),
        ("n_train", 10**40, "wrong n_train"),
        ("decision.threshold", float("nan"), "wrong decision.threshold: .*finite"),
        ("decision.threshold", float("inf"), "wrong decision.threshold: .*finite"),
        ("decision.method", "guess", "wrong decision.method"),
        ("tail", {"start": 1.0, "share": 0.1, "shape": 0.1, "scale": 0.0}, "wrong tail.scale"),
        ("tail", {"start": 1.0, "share": 0.1, "shape": -0.1, "scale": 1.0}, "wrong tail.shape: .* or equal to 0"),
        ("about", [], "wrong about"),
        ("code", "print(1)", "wrong code: Extra inputs are not permitted"),
        ("columns", [], "wrong columns"),
        ("columns", {"0": {}}, "wrong columns"),
    ],
)
def test_a_wrong_value_in_the_manifest_is_refused_by_its_name(blob, path, value, because):
    assert_refused(with_value(blob, path, value), because)


@pytest.mark.parametrize(
    ("path", "value", "because"),
    [
        ("columns.0", {}, "has a column of a type that is not known"),
        ("columns.0.type", "lambda", "has a column of a type that is not known"),
        ("columns.0.type", [], "has a column of a type that is not known"),
        ("columns.0.type", "flag", "has a column with a wrong"),
        ("columns.0.name", 7, "has a column with a wrong name: .*valid string"),
        ("columns.0.name", "flow", "has two columns of one name"),
        ("columns.0.scale", 0.0, "wrong scale: .*greater than 0"),
        ("columns.0.scale", "wide", "wrong scale: .*valid number"),
        ("columns.0.mean", float("nan"), "wrong mean: .*finite"),
        ("columns.0.offset", 2**70, "wrong offset"),
        ("columns.0.grid", [[0, 1], [0, 1]], "wrong grid: .*instance of ndarray"),
        ("columns.0.code", "print(1)", "wrong code"),
        ("columns.2.missing_share", 2.0, "wrong missing_share"),
        ("columns.2.missing_share", None, "wrong missing_share"),
        ("columns.4.levels", "high", "wrong levels: .*valid tuple"),
        ("columns.4.levels", 3, "wrong levels: .*valid tuple"),
        ("columns.4.levels", [1, 2, 3], "wrong levels.0"),
        ("columns.4.levels", ["high", "low"], "3 shares for 2 distinct levels"),
        ("columns.4.levels", ["high", "low", "low"], "3 shares for 2 distinct levels"),
        ("columns.4.shares", [0.5, 0.5, 9.0], "wrong shares.2"),
        ("columns.4.rare", None, "wrong rare"),
        ("columns.5.means", [0.0, 0.0, 0.0], "wrong means: .*at least 4"),
        ("columns.5.scales", [1.0, 1.0, 1.0, 0.0], "wrong scales.3"),
    ],
)
def test_a_wrong_state_of_a_column_is_refused(blob, path, value, because):
    assert_refused(with_value(blob, path, value), because)


@pytest.mark.parametrize(("path", "value"), [("architecture.width", 13), ("columns.2.missing_share", 0.0)])
def test_columns_of_another_width_than_the_networks_are_refused(blob, path, value):
    assert_refused(with_value(blob, path, value), "has columns of 1[12] cells and networks of 1[23]")


def test_another_shape_of_the_networks_than_their_weights_is_refused(blob):
    assert_refused(with_value(blob, "architecture.hidden", 17), r"has weights/\S+ as float32\(.*expected float32\(")
    assert_refused(with_value(blob, "architecture.learns_variance", False), "holds the array weights/decoder/log_sd, ")
    assert_refused(with_value(blob, "architecture.kind", "autoencoder"), "holds the array weights/encoder/log_var/")


@pytest.mark.parametrize(
    ("name", "change", "because"),
    [
        ("weights__encoder__mean__bias", lambda _: None, "lacks the array weights/encoder/mean/bias"),
        ("reference__points", lambda _: None, "lacks the array reference/points"),
        ("grids__0", lambda _: None, "has a column with a wrong grid: Field required"),
        ("grids__3", lambda _: np.zeros((2, 9)), "has a column with a wrong grid: Unexpected keyword argument"),
        ("grids__99", lambda _: np.zeros((2, 9)), "holds the array grids/99, which nothing needs"),
        ("code", lambda _: np.zeros(3), "holds the array code, which nothing needs"),
        ("reference__points", lambda a: a[:-1], r"has reference/points as float32\(999, .*expected float32\(1000, "),
        ("grids__0", lambda a: a[:1], r"has grids/0 as float64\(1, .*expected float64\(2, "),
        ("grids__0", lambda a: a[:, :1], "has a grid of 1 points, expected 2 to 512"),
        ("grids__0", lambda _: np.zeros((2, 513)), "has a grid of 513 points, expected 2 to 512"),
        ("grids__0", lambda _: np.array(3.0), "has a grid of 1 points"),
        ("weights__encoder__mean__kernel", lambda a: a.astype(np.float64), "as float64.*expected float32"),
        ("calibration__reference", lambda a: a.astype(np.float32), "as float32.*expected float64"),
        ("reference__latent_sd", lambda a: a.astype(np.complex64), "as complex64.*expected float32"),
        ("weights__encoder__mean__kernel", lambda a: a * np.nan, "numbers in weights/encoder/mean/kernel that are not"),
        ("attribution__typical_nll", lambda a: a / 0.0, "numbers in attribution/typical_nll that are not finite"),
        ("calibration__reference", lambda a: a[::-1], "has calibration scores that are not in ascending order"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_an_array_that_is_not_as_written_is_refused(blob, name, change, because):
    changed = change(load(blob).get(name.replace("__", "/")))
    changed = changed if changed is None else np.ascontiguousarray(changed)
    assert_refused(with_arrays(blob, **{name: changed}), because)


@pytest.mark.parametrize("shape", [[2**62], [2**40, 2**40], [2**31, 2**31, 2**31], [10**30], [-1, 3], ["x"], 3, None])
def test_an_enormous_or_senseless_shape_in_the_header_is_refused_without_memory(blob, shape):
    header, data = opened(blob)
    header["weights/encoder/mean/kernel"]["shape"] = shape
    huge = closed(header, data)
    tracemalloc.start()
    try:
        assert_refused(huge, "is no valid safetensors container")
        assert tracemalloc.get_traced_memory()[1] < 10 * len(huge)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "entry", [{"dtype": "BF16"}, {"dtype": "F8_E4M3"}, {"dtype": "PICKLE"}, {"data_offsets": [0, 8]}]
)
def test_a_type_or_place_that_no_array_has_is_refused(blob, entry):
    header, data = opened(blob)
    header["weights/encoder/mean/kernel"] |= entry
    assert_refused(closed(header, data), "is no valid safetensors container")


def test_an_array_of_a_type_that_numpy_lacks_is_refused(blob):
    header, data = opened(blob)
    header["code"] = {"dtype": "BF16", "shape": [1], "data_offsets": [len(data), len(data) + 2]}
    assert_refused(closed(header, data + b"\0\0"), "is no valid safetensors container")


def loads_or_is_refused(blob):
    try:
        load_artifact(blob, digest(blob))
    except ArtifactError:
        return False
    return True


@given(edits=st.lists(st.tuples(st.integers(0, 2**32) | st.integers(0, 9000), st.integers(0, 255)), max_size=8))
@example(edits=[])
def test_a_blob_with_any_bytes_changed_loads_or_is_refused(blob, edits):
    changed = bytearray(blob)
    for position, byte in edits:
        changed[position % len(blob)] = byte
    assert loads_or_is_refused(bytes(changed)) or changed != blob


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def leaves(value, path=""):
    """Return the paths of all values in a document, inner ones first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [leaf for key, item in inner for leaf in leaves(item, f"{path}{key}.")] + ([path[:-1]] if path else [])


@given(data=st.data())
def test_a_manifest_with_any_value_replaced_loads_or_is_refused(artifact, blob, data):
    path = data.draw(st.sampled_from(leaves(manifest(artifact))), "path")
    value = data.draw(json_values, "value")
    is_loaded = loads_or_is_refused(with_value(blob, path, value))
    assert is_loaded or not path.startswith("about.")


def test_no_module_of_ours_imports_what_runs_code_on_loading():
    sources = [path for folder in ("detector", "jobs", "schemas") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 20
    for source in sources:
        nodes = list(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
        runs_code = {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve", "h5py"}
        assert not {name.partition(".")[0] for name in imported} & runs_code, source
