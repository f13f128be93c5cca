"""The part of `init` that writes the JSON Schema of the configuration."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import UsageError

if TYPE_CHECKING:
    from jobs.output import Output

_DEFAULT_PATH = Path("config.schema.json")


def write_schema(path: Path | None, out: "Output") -> None:
    """Write the JSON Schema of the configuration, over one of an earlier version.

    Args:
        path: of the file; None for config.schema.json in the current folder.
        out: prints the outcome.

    Raises:
        UsageError: If the file is another one, or cannot be written.
    """
    from schemas.json_schema import config_json_schema

    path, schema = path or _DEFAULT_PATH, config_json_schema()
    if path.exists() and not _is_schema(path, schema["title"]):
        raise UsageError(f"{path} already exists, and is not such a schema. Choose another file, or remove it first.")
    try:
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}. Choose a writable folder.") from exc
    hint = f"#:schema ./{path.name}"
    out.result(
        {"path": str(path)},
        lambda: out.line(f"Wrote {path}. Editors use it if the first line of config.toml is: {hint}"),
    )


def _is_schema(path: Path, title: str) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("title") == title)
    except (OSError, ValueError, AttributeError):
        return False
