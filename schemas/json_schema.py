"""The JSON Schema of the configuration, by which editors complete and check config.toml."""

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from schemas.config import Config
from schemas.section import duration_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Configuration of Plumbline"


class _SchemaOfToml(GenerateJsonSchema):
    """A generator for values of TOML: it has no null, and durations are texts such as 5m."""

    def encode_default(self, dft: Any) -> Any:
        return duration_text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        is_shown = described.get("default") is not None and not isinstance(described["default"], dict)
        return {key: value for key, value in described.items() if key != "default" or is_shown}


def config_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of config.toml."""
    schema = Config.model_json_schema(schema_generator=_SchemaOfToml)
    return {"$schema": DIALECT, **_without_write_only(schema), "title": TITLE}


def _without_write_only(schema: Any) -> Any:
    """Return a schema without the mark of secrets, at which some editors stumble."""
    if isinstance(schema, dict):
        return {key: _without_write_only(value) for key, value in schema.items() if key != "writeOnly"}
    return [_without_write_only(item) for item in schema] if isinstance(schema, list) else schema
