"""The command line: `plumbline COMMAND`, or `python -m jobs.cli COMMAND`."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from jobs import interruption
from jobs.wording import visible
from schemas.errors import ConfigError, PlumblineError, UsageError

_COMMANDS = {
    "init": "setup",
    "check": "setup",
    "doctor": "doctor",
    "migrate": "setup",
    "import": "setup",
    "train": "modelling",
    "score": "modelling",
    "rescore": "rescoring",
    "forecast": "modelling",
    "evaluate": "modelling",
    "serve": "serve",
    "retrain": "retraining",
    "models": "models",
    "anomalies": "anomalies",
    "incidents": "incidents",
    "alerts": "alerts",
    "keys": "keys",
    "sample": "generating",
    "encode": "generating",
    "denoise": "generating",
    "status": "status",
    "demo": "demo",
}


class _Commands(click.Group):
    """Commands loaded by name, in the order of a first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"jobs.commands.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plumbline", prog_name="plumbline")
def cli() -> None:
    """Anomaly detection for tables in SQL databases.

    A model learns what normal records look like; new records are scored in batches, and anomalies are
    flagged back into SQL, each with its causes.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process: 0 where it worked, 1 where the work failed, 2 where the call was wrong."""
    interruption.handle_signals()
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    try:
        cli.main(arguments, prog_name="plumbline", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _failed("Interrupted. Nothing half-made was kept; run the command again.", 1)
    except PlumblineError as exc:
        return _failed(str(exc), 2 if isinstance(exc, ConfigError | UsageError) else 1)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - or the interpreter complains at its exit
        return 0
    except Exception as exc:  # noqa: BLE001 - the last resort: a sentence for people, a traceback on demand
        if "PLUMBLINE_DEBUG" in os.environ:
            traceback.print_exc()
        return _failed(f"{type(exc).__name__}: {exc}. This is a defect; PLUMBLINE_DEBUG=1 shows where.", 1)
    return 0


def _failed(sentence: str, code: int) -> int:
    click.echo(visible(f"Error: {sentence}", kept="\n"), err=True)
    return code


if __name__ == "__main__":
    main()
