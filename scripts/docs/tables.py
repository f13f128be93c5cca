"""The tables of the store, with the comments that stand next to their columns in the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from schemas.tables import REVISION, metadata
from scripts.docs.markdown import code, table

_FOLDER = Path(__file__).parents[2] / "schemas" / "tables"
_DIALECT = postgresql.dialect()
_INTRODUCTION = f"""# Tables of the store

Every table of a store at revision {REVISION}, generated from the code; the types are those of PostgreSQL.
They are Plumbline's own and may change with each version.
Read the [views](../dashboards.md), which are documented and kept, in place of them.
"""


def tables_page() -> str:
    """Return the page."""
    comments = dict(item for path in sorted(_FOLDER.glob("*.py")) for item in _comments(path))
    return _INTRODUCTION + "".join(_section(metadata.tables[name], comments) for name in sorted(metadata.tables))


def _section(described: Table, comments: dict[str, str]) -> str:
    rows = [
        (code(column.name), _type(column), _notes(column), comments.get(f"{described.name}.{column.name}", ""))
        for column in described.columns
    ]
    purpose = comments.get(described.name, "")
    text = f"{purpose}\n\n" if purpose else ""
    return f"\n## {described.name}\n\n{text}{table(('column', 'type', 'notes', 'meaning'), rows)}"


def _type(column: "Column[object]") -> str:
    return column.type.compile(dialect=_DIALECT).lower()


def _notes(column: "Column[object]") -> str:
    notes = ["key"] if column.primary_key else [] if column.nullable else ["not null"]
    return ", ".join([*notes, *(f"refers to `{key.target_fullname}`" for key in column.foreign_keys)])


def _comments(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the comment above each table, and that at the end of each column's line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.parse("\n".join(lines)).body:
        match node:
            case ast.Assign(value=ast.Call(func=ast.Name(id="Table"), args=[ast.Constant(value=str(name)), *parts])):
                yield name, _above(lines, node.lineno)
                for part in parts:
                    match part:
                        case ast.Call(func=ast.Name(id="Column"), args=[ast.Constant(value=str(column)), *_]):
                            yield f"{name}.{column}", _beyond(lines[(part.end_lineno or 0) - 1])


def _above(lines: list[str], number: int) -> str:
    """Return the comment that ends on the line before a number."""
    first = number - 1
    while first > 0 and lines[first - 1].startswith("# "):
        first -= 1
    return " ".join(line.removeprefix("# ") for line in lines[first : number - 1])


def _beyond(line: str) -> str:
    """Return the comment at the end of a line."""
    found = re.search(r"  # (?!noqa)(.+)$", line)
    return found[1] if found else ""
