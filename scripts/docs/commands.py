"""The options of every command, as its help shows them."""

from collections.abc import Iterator

import click

from jobs import cli
from scripts.docs.markdown import code, table

_INTRODUCTION = """# Options of the commands

Every command with its arguments and options, generated from the program.
[Commands](../commands.md) explains each with its output.
"""


def commands_page() -> str:
    """Return the page."""
    context = click.Context(cli.cli, info_name="plumbline")
    named = ((name, cli.cli.get_command(context, name)) for name in cli.cli.list_commands(context))
    return _INTRODUCTION + "".join(part for name, command in named if command for part in _sections(name, command))


def _sections(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for sub, subcommand in command.commands.items():
            yield from _sections(f"{name} {sub}", subcommand)
        return
    context = click.Context(command, info_name=f"plumbline {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    yield f"\n## {name}\n\n```text\nplumbline {name} {usage}\n```\n\n{text}\n\n"
    options = [option for option in command.params if isinstance(option, click.Option)]
    yield table(("option", "meaning"), [_row(option, context) for option in options])


def _row(option: click.Option, context: click.Context) -> tuple[str, str]:
    shown, text = option.get_help_record(context) or ("", "")
    return code(shown), text.replace("[default:", "(default:").replace("]", ")") if "[default:" in text else text
