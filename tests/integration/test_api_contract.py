"""Schemathesis sends valid and invalid requests: every response is documented in the OpenAPI document."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.api_service import NOW, api_document, module_url, opened_service, serving

DOCUMENT = api_document()
BOUNDED = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
EXISTING_IDS = {"name": "pump", "anomaly_id": 1, "incident_id": 1, "model_id": 1}
SECRET = "a key of the test"
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request, tmp_path_factory):
    with module_url(request, tmp_path_factory) as url, opened_service(url) as service, serving(service) as client:
        service.store.api_keys.add("test", "write", SECRET, NOW)
        yield client


@schema.parametrize()
@BOUNDED
def test_every_response_matches_the_document(case, client):
    if case.meta.generation.mode is GenerationMode.POSITIVE:
        existing = {name: EXISTING_IDS.get(name, value) for name, value in case.path_parameters.items()}
        case.path_parameters.update(existing)
    # The monitor, not the document, defines which records are valid.
    excluded = [positive_data_acceptance] if case.path.endswith("/score") else []
    case.call_and_validate(base_url=f"http://127.0.0.1:{client.port}", excluded_checks=excluded)


@schema.auth()
class Key:
    """The key of every request, except those that must lack it."""

    def get(self, _case, _context):
        return SECRET

    def set(self, case, data, _context):
        case.headers["Authorization"] = f"Bearer {data}"
