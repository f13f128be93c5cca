"""The messages of errors, read from the code, so that a user finds the message that a command printed."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from schemas import errors
from schemas.errors import ConfigError, PlumblineError, UsageError
from scripts.docs.markdown import table

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("schemas", "detector", "jobs")
_SHORTEST = 20
_OTHERS = {
    "Finding": ("Findings of plumbline check", "What `plumbline check` reports of a configuration and its table."),
    "Problem": ("Problems of plumbline doctor", "What `plumbline doctor` reports; the advice follows each."),
    "ValueError": ("Values of the configuration", "What follows the place of a value in `config.toml`."),
}
_INTRODUCTION = """# Index of errors

Every message of an error, generated from the code, in alphabetical order; search for the words around your own names and numbers, for which … stands here.
Each message ends with what to do.
A message that a database or a channel sent follows "refused:" or the name of the channel, and is not listed.
A command ends with code 2 if the call or the configuration is wrong, and with 1 if the work failed; `PLUMBLINE_DEBUG=1` prints the traceback of what is not listed here, which is a bug.
"""


def errors_page() -> str:
    """Return the page."""
    by_class: dict[str, set[str]] = defaultdict(set)
    for name, message in messages():
        by_class[name].add(message)
    return _INTRODUCTION + "".join(_section(name, by_class[name]) for name in sorted(by_class))


def messages() -> Iterator[tuple[str, str]]:
    """Yield class and message of every error that is raised on purpose."""
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            named = _raised(ast.parse(path.read_text(encoding="utf-8")))
            yield from (item for item in named if item[0] != "ValueError" or package == "schemas")


def _section(name: str, listed: set[str]) -> str:
    rows = table(("message",), [(_escaped(message),) for message in sorted(listed, key=str.lower)])
    if name in _OTHERS:
        title, purpose = _OTHERS[name]
        return f"\n## {title}\n\n{purpose}\n\n{rows}"
    error = getattr(errors, name)
    code = 2 if issubclass(error, ConfigError | UsageError) else 1
    purpose = " ".join((error.__doc__ or "").split())
    return f"\n## {name}\n\n{purpose}\nExit code {code}.\n\n{rows}"


def _raised(module: ast.Module) -> Iterator[tuple[str, str]]:
    for scope in ast.walk(module):
        if isinstance(scope, ast.ClassDef) and _is_error(scope.name):
            yield from ((scope.name, text) for call in _calls(scope, "__init__") for text in _texts(call, {}))
        if isinstance(scope, ast.FunctionDef):
            named: dict[str, list[ast.expr]] = defaultdict(list)
            for node in ast.walk(scope):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    named[node.targets[0].id].append(node.value)
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_error(node.func.id):
                    yield from ((node.func.id, text) for text in _texts(node, named))


def _calls(scope: ast.ClassDef, attribute: str) -> Iterator[ast.Call]:
    for node in ast.walk(scope):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == attribute:
            yield node


def _texts(call: ast.Call, named: Mapping[str, list[ast.expr]]) -> Iterator[str]:
    """Yield the sentences among the arguments of a call."""
    for argument in call.args:
        values = named.get(argument.id, []) if isinstance(argument, ast.Name) else [argument]
        yield from (text for text in map(_text, values) if len(text) > _SHORTEST)


def _text(value: ast.expr) -> str:
    """Return a text with … for each part that is filled in."""
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_text(left) or "…") + (_text(right) or "…")
    return ""


def _is_error(name: str) -> bool:
    error = getattr(errors, name, None)
    return name in _OTHERS or (isinstance(error, type) and issubclass(error, PlumblineError))


def _escaped(message: str) -> str:
    for character in "\\`*_[]<>$":
        message = message.replace(character, f"\\{character}")
    return message
