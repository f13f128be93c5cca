"""The command line: `plumbline COMMAND`, or `python -m jobs.cli COMMAND`."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from jobs import interruption, start_up
from jobs.wording import visible
from schemas.errors import ConfigError, PlumblineError, UsageError
from schemas.nearest import suggestion

_COMMANDS = {
    "init": "setup",
    "check": "setup",
    "doctor": "doctor",
    "migrate": "setup",
    "import": "setup",
    "train": "modelling",
    "score": "modelling",
    "rescore": "rescoring",
    "top": "top",
    "forecast": "modelling",
    "tune": "tune",
    "evaluate": "modelling",
    "serve": "serve",
    "work": "serve",
    "mcp": "mcp",
    "retrain": "retraining",
    "models": "models",
    "monitors": "monitors",
    "prune": "pruning",
    "anomalies": "anomalies",
    "incidents": "incidents",
    "plot": "plotting",
    "report": "plotting",
    "entities": "entities",
    "maintenance": "maintenance",
    "alerts": "alerts",
    "keys": "keys",
    "audit": "audit",
    "sample": "generating",
    "encode": "generating",
    "denoise": "generating",
    "status": "status",
    "demo": "demo",
}
_INTERRUPTED = "Interrupted. No partial results were kept. Run the command again."
_NOT_IN_WORKERS = {
    "holidays",
    "keras",
    "matplotlib",
    "scipy",
    "sklearn",
    "tensorflow",
}  # as requirements/worker_overrides.txt lists


class _Commands(click.Group):
    """Commands that are imported on use, in the order of a first session."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"jobs.commands.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}.{suggestion(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plumbline", prog_name="plumbline")
def cli() -> None:
    """Anomaly detection for tables in SQL databases.

    A model learns what normal records look like. New records are scored in batches, and anomalies are
    flagged back into SQL, each with its causes.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 on success, 1 if the work failed, 2 if the call or the configuration is invalid."""
    start_up.postpone_collection()
    interruption.handle_signals()
    code = run(arguments)
    start_up.skip_last_collections()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        cli.main(arguments, prog_name="plumbline", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        exec("")  # noqa: S102 - else the process ends by SIGINT if generated code, as of dataclasses, was interrupted
        return _report_error(_INTERRUPTED, 1)
    except PlumblineError as exc:
        return _report_error(str(exc), 2 if isinstance(exc, ConfigError | UsageError) else 1)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - otherwise the interpreter reports an error at exit
        return 0
    except Exception as exc:  # noqa: BLE001 - the last resort: one sentence, and a traceback on request
        return _report_error(_INTERRUPTED if interruption.is_interrupt(exc) else _unexpected(exc), 1)
    return 0


def _unexpected(exc: Exception) -> str:
    if "PLUMBLINE_DEBUG" in os.environ:
        traceback.print_exception(exc)
    package = (exc.name or "").partition(".")[0] if isinstance(exc, ModuleNotFoundError) else ""
    if package in _NOT_IN_WORKERS:
        return (
            f"This command needs the package {package!r}, which is not installed: requirements/worker.txt leaves it "
            "out. Run the command in an installation with requirements/run.txt."
        )
    return f"{type(exc).__name__}: {exc}. This is a bug. Set PLUMBLINE_DEBUG=1 to print the traceback."


def _report_error(sentence: str, code: int) -> int:
    click.echo(visible(f"Error: {sentence}", kept="\n"), err=True)
    return code


if __name__ == "__main__":
    main()
