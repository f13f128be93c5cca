"""`python -m tests.chaos`: kills on a database, in rounds of twenty, with a report of each round."""

import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import click

from tests.chaos.rounds import Plan, plans, play, servers_for
from tests.chaos.site import train

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_DATABASES = click.Choice(["sqlite", "postgresql", "mariadb"])


@click.command()
@click.option("--database", type=_DATABASES, required=True, help="Of the store.")
@click.option(
    "--source", type=_DATABASES, help="Of the watched tables, on a server of its own; by default the store's."
)
@click.option(
    "--wide", "is_wide", is_flag=True, help="With monitors of every kind, hung processes, and people's changes."
)
@click.option("--kills", default=200, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
def main(database, source, is_wide, kills, seed):
    """Kill processes while they score, and compare the results with an undisturbed run."""
    end_on_signals()
    total, failed = Counter(), 0
    first = Plan(database, kills, seed, source, is_wide)
    with tempfile.TemporaryDirectory() as folder, servers_for(first) as servers:
        models = train(Path(folder), first.monitors)
        for plan in plans(first, kills):
            report = _played(plan, models, servers)
            total.update(report.counts, rounds=1)
            failed += bool(report.problems)
            click.echo(f"{plan}: {_listed(report.counts)}")
            for problem in report.problems:
                click.echo(f"  {problem}", err=True)
    click.echo(f"{database}, seed {seed}: {_listed(total)}; {failed} rounds failed")
    raise SystemExit(failed > 0)


def end_on_signals():
    """End this process on SIGTERM as on SIGINT, by an exception, so that its servers and processes end with it."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def _played(plan, models, servers):
    try:
        return play(plan, models, servers)
    except Exception as exc:
        exc.add_note(f"in {plan}")
        raise


def _listed(counts):
    return ", ".join(f"{counts[name]:,} {name}" for name in counts)


if __name__ == "__main__":
    main()
