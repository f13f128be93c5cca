"""`python -m tests.chaos`: kills on a database, in rounds of twenty, with a report of each round."""

import os
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import click

from tests.chaos.databases import postgres_server
from tests.chaos.rounds import plans, play
from tests.chaos.site import train

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@click.command()
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), required=True)
@click.option("--kills", default=200, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
def main(database, kills, seed):
    """Kill processes while they score, and compare the results with an undisturbed run."""
    total, failed = Counter(), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        nullcontext() if database == "sqlite" else postgres_server() as server,
    ):
        model = train(Path(folder))
        for plan in plans(database, kills, seed):
            report = _played(plan, model, server)
            total.update(report.counts, rounds=1)
            failed += bool(report.problems)
            click.echo(f"{plan}: {_listed(report.counts)}")
            for problem in report.problems:
                click.echo(f"  {problem}", err=True)
    click.echo(f"{database}, seed {seed}: {_listed(total)}; {failed} rounds failed")
    raise SystemExit(failed > 0)


def _played(plan, model, server):
    try:
        return play(plan, model, server)
    except Exception as exc:
        exc.add_note(f"in {plan}")
        raise


def _listed(counts):
    return ", ".join(f"{counts[name]:,} {name}" for name in counts)


if __name__ == "__main__":
    main()
