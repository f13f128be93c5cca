"""The command `retrain`: queue a retrain request, or process the pending ones."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import any_monitor_argument, only_monitor, user_name, with_app, workers_if_configured
from jobs.wording import counted_noun
from schemas.errors import PlumblineError, UsageError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.command("retrain")
@any_monitor_argument
@click.option("--work", is_flag=True, help="Process the pending requests here, instead of queueing one.")
@click.option("--reason", default="command", show_default=True, help="Reason, as the request records it.")
@click.option("--claimant", default="", hidden=True, help="The beginning of the tokens of this process's claims.")
@with_app
def retrain_command(app: "App", out: "Output", monitor: str | None, work: bool, reason: str, claimant: str) -> None:
    """Queue a retrain request, or process those that wait. `serve` processes them too."""
    if work and monitor is not None:
        raise UsageError(
            "Name a monitor to queue a retrain request for it, or process the pending requests with --work."
        )
    if work:
        _work(app, out, claimant)
        return
    monitor = monitor or only_monitor(app.config)
    app.config.monitor(monitor)
    request_id = app.store.requests.add(monitor, reason, app.clock(), user_name())
    out.result(
        {"request_id": request_id, "monitor": monitor},
        lambda: out.line(
            f"Queued retrain request {request_id} for monitor {monitor!r}. "
            "A running `plumbline serve` processes it; without one: plumbline retrain --work"
        ),
    )


def _work(app: "App", out: "Output", claimant: str) -> None:
    store = app.store
    store.requests.fail_unknown(app.config.monitors, app.clock())
    if not store.requests.has_claimable(app.config.monitors, app.clock()):
        out.result([], lambda: out.line("No pending requests."))
        return
    workers = None if claimant else workers_if_configured(app)  # `serve` ends its trainings with itself
    if workers is None:
        app.choose_backend()
        from jobs.training.retraining import work_requests

        outcomes = work_requests(app.config, store, app.source, app.clock, claimant)
    else:
        outcomes = workers.train()
    lines = [f"Request {outcome.request_id} {outcome.state}. {outcome.message}" for outcome in outcomes]
    out.result(outcomes, lambda: out.line("\n".join(lines)))
    if failed := sum(outcome.state == "failed" for outcome in outcomes):
        trainings = counted_noun(len(outcomes), "training")
        msg = f"{failed} of {trainings} failed. Correct the causes above, then queue new requests."
        raise PlumblineError(msg)
