"""The JSON Schema of the configuration, by which editors complete and check config.toml."""

import ast
import inspect
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from schemas.config import Config
from schemas.section import Section, duration_text

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
    for section in _sections(Section):
        described = schema if section is Config else schema["$defs"].get(section.__name__, {})
        for name, text in _field_docstrings(section):
            if name in described.get("properties", {}):
                described["properties"][name].setdefault("description", text)
    return {"$schema": DIALECT, **_without_write_only(schema), "title": TITLE}


def _sections(base: type[Section]) -> Iterator[type[Section]]:
    for section in base.__subclasses__():
        yield section
        yield from _sections(section)


def _field_docstrings(section: type[Section]) -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of each field that has one, those of the sections it extends last."""
    definition = ast.parse(inspect.getsource(section)).body[0]
    for field, text in pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(docstring))):
                yield name, inspect.cleandoc(docstring)
    for base in section.__bases__:
        if issubclass(base, Section):
            yield from _field_docstrings(base)


def _without_write_only(schema: Any) -> Any:
    """Return a schema without the mark of secrets, at which some editors stumble."""
    if isinstance(schema, dict):
        return {key: _without_write_only(value) for key, value in schema.items() if key != "writeOnly"}
    return [_without_write_only(item) for item in schema] if isinstance(schema, list) else schema
