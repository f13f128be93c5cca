"""Reading of JSON objects that this version or an earlier one wrote."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def present_fields(value_type: type, json_object: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are fields of a dataclass: a missing field keeps its default, other entries are ignored.

    >>> from detector.core.about import TrainingRange
    >>> present_fields(TrainingRange, {"records": 5, "colour": "red"})
    {'records': 5}
    """
    return {field.name: json_object[field.name] for field in fields(value_type) if field.name in json_object}
