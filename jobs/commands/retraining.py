"""retrain: ask for a training, or do what was asked for."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import with_app
from schemas.errors import PlumblineError, UsageError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.command("retrain")
@click.argument("monitor", metavar="[MONITOR]", required=False)
@click.option("--work", is_flag=True, help="Train whatever is asked for now, here, instead of asking.")
@click.option("--reason", default="command", show_default=True, help="Why, as the request keeps it.")
@with_app
def retrain_command(app: "App", out: "Output", monitor: str | None, work: bool, reason: str) -> None:
    """Ask for a training of MONITOR, which `serve` works off; or work off every request, with --work."""
    if work == (monitor is not None):
        raise UsageError("Name a monitor to ask for its training, or work off what was asked for with --work.")
    if monitor is None:
        _work(app, out)
        return
    app.config.monitor(monitor)
    request_id = app.store.requests.add(monitor, reason, app.clock())
    out.result(
        {"request_id": request_id, "monitor": monitor},
        lambda: out.say(
            f"Request {request_id} asks for a training of monitor {monitor!r}. "
            "A running `plumbline serve` works it off; without one: plumbline retrain --work"
        ),
    )


def _work(app: "App", out: "Output") -> None:
    store = app.store
    store.requests.fail_unknown(app.config.monitors, app.clock())
    if not store.requests.has_claimable(app.config.monitors, app.clock()):
        out.result([], lambda: out.say("No request waits."))
        return
    app.choose_backend()
    from jobs.training.retraining import work_requests

    done = work_requests(app.config, store, app.source, app.clock)
    out.result(
        done, lambda: out.say("\n".join(f"Request {item.request_id} {item.state}. {item.message}" for item in done))
    )
    if failed := sum(item.state == "failed" for item in done):
        msg = f"{failed} of {len(done)} trainings failed; the requests hold the reasons. Correct the cause, ask again."
        raise PlumblineError(msg)
