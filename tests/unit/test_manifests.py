"""The manifests in deploy/ fit the API of Kubernetes, and each other."""

from copy import deepcopy

import jsonschema_rs
import pytest
import yaml

from tests.workspace import ROOT

DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*.yaml") if "grafana" not in path.parts)
DEFINITIONS = yaml.safe_load((ROOT / "tests" / "kubernetes_schema.yaml").read_text(encoding="utf-8"))["$defs"]


def documents(path):
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


MANIFESTS = {
    (path.parent.name, manifest["kind"], manifest["metadata"]["name"]): manifest
    for path in FILES
    if path.name != "kustomization.yaml"
    for manifest in documents(path)
}


def faults(manifest):
    """Return the places at which a document does not fit the schema of its kind."""
    kinds = [manifest["kind"]] if manifest["kind"] == "Kustomization" else ["manifest", manifest["kind"]]
    schema = {"$defs": DEFINITIONS, "allOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds]}
    found = jsonschema_rs.validator_for(schema).iter_errors(manifest)
    return [f"{'.'.join(map(str, fault.instance_path))}: {fault.message}" for fault in found]


def containers(manifest):
    """Return the containers of a manifest, wherever they are in it."""
    if isinstance(manifest, list):
        return [found for item in manifest for found in containers(item)]
    if not isinstance(manifest, dict):
        return []
    return [*manifest.get("containers", ()), *(found for value in manifest.values() for found in containers(value))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_document_fits_the_schema_of_its_kind(path):
    assert [fault for manifest in documents(path) for fault in faults(manifest)] == []


@pytest.mark.parametrize(
    ("key", "path", "value"),
    [
        (("workers", "ScaledObject", "plumbline-work"), ("maxReplicas",), 3),
        (("workers", "ScaledObject", "plumbline-work"), ("triggers", 0, "metadata", "targetQueryValue"), 4),
        (("backfill", "Job", "plumbline-backfill-pump"), ("template", "spec", "restartPolicy"), "Always"),
        (("backfill", "Job", "plumbline-backfill-pump"), ("template", "spec", "containers", 0, "arg"), []),
        (("dask", "DaskCluster", "plumbline"), ("worker", "replicas"), "2"),
    ],
)
def test_the_schema_notices_a_fault(key, path, value):
    manifest = deepcopy(MANIFESTS[key])
    place = manifest["spec"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert faults(manifest) != []


def test_each_folder_applies_all_of_its_files():
    for path in FILES:
        if path.name == "kustomization.yaml":
            (document,) = documents(path)
            assert {*document["resources"]} == {file.name for file in path.parent.glob("*.yaml")} - {path.name}


def test_the_parts_name_each_other():
    scaled, trigger = (
        MANIFESTS["workers", "ScaledObject", "plumbline-work"]["spec"][name] for name in ("scaleTargetRef", "triggers")
    )
    assert ("workers", "Deployment", scaled["name"]) in MANIFESTS
    assert ("workers", "TriggerAuthentication", trigger[0]["authenticationRef"]["name"]) in MANIFESTS
    cluster = MANIFESTS["dask", "DaskCluster", "plumbline"]
    assert MANIFESTS["dask", "DaskAutoscaler", "plumbline"]["spec"]["cluster"] == cluster["metadata"]["name"]
    ports = {port["name"] for port in containers(cluster["spec"]["scheduler"])[0]["ports"]}
    assert {port["targetPort"] for port in cluster["spec"]["scheduler"]["service"]["ports"]} == ports


def test_every_container_is_locked_down_and_mounts_volumes_that_exist():
    for manifest in MANIFESTS.values():
        for container in containers(manifest):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"]
