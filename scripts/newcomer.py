"""Do what a newcomer does with five tables, from `init` to flagged rows, with no edit of the configuration.

`python -m scripts.newcomer` runs in a new folder on SQLite; `--url` names another empty database. It prints the rate of
later normal records that each monitor flags next to the rate that `init` proposed, and fails if the rate is not within
a factor of two of the proposed one, beyond sampling error, or if no odd record is flagged.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import SecretStr
from scipy.stats import beta
from sqlalchemy import Engine, text

from jobs import cli
from jobs.databases import open_engine, writing
from scripts.newcomer_tables import TRIALS, Trial

FACTOR = 2
CONFIDENCE = 0.99  # of the interval of the rate found
SEED = 1
QUICK_MODEL = "members = 2\nsteps = 200\nhidden = 32\n"


@dataclass(frozen=True)
class Outcome:
    """What a monitor flagged among the later records.

    Attributes:
        table: that it watches.
        rate: of false positives, as `init` proposed it.
        normal: the number of later normal records.
        flagged_normal: how many of them it flagged.
        odd: the number of later odd records.
        flagged_odd: how many of them it flagged.
    """

    table: str
    rate: float
    normal: int
    flagged_normal: int
    odd: int
    flagged_odd: int

    @property
    def found(self) -> float:
        """The rate among the later normal records."""
        return self.flagged_normal / self.normal

    @property
    def is_good(self) -> bool:
        """Whether the rate is within the factor, beyond sampling error, and an odd record is flagged."""
        low, high = interval(self.flagged_normal, self.normal)
        return self.flagged_odd > 0 and low <= FACTOR * self.rate and high >= self.rate / FACTOR


def interval(hits: int, records: int) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share.

    >>> [round(bound, 4) for bound in interval(0, 100)]
    [0.0, 0.0516]
    """
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, hits, records - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, records - hits)) if hits < records else 1.0
    return low, high


@dataclass(frozen=True)
class Newcomer:
    """A person with a folder, a database and the command line.

    Attributes:
        folder: of the configuration.
        url: of the database, which holds the tables and the store.
        is_quick: whether networks are small, to save time.
    """

    folder: Path
    url: str
    is_quick: bool = False

    def run(self, *arguments: str) -> str:
        """Run a command and return its output.

        Raises:
            RuntimeError: If it fails.
        """
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run(arguments)
        if code:
            msg = f"plumbline {' '.join(arguments)}: {err.getvalue() or out.getvalue()}"
            raise RuntimeError(msg)
        return out.getvalue()

    def try_tables(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        """Watch tables: propose, check, train and score, then score what comes later."""
        engine = open_engine(SecretStr(self.url))
        records = {trial.table: trial.records(np.random.default_rng(SEED)) for trial in trials}
        self._write_template()
        for trial in trials:
            self._fill(engine, trial, records[trial.table][0])
        self._configure(trials)
        for trial in trials:
            self.run("train", trial.table)
            self.run("score", trial.table)
            later = records[trial.table][1]
            self._fill(engine, trial, later)
            self.run("score", trial.table)
            yield self._outcome(engine, trial, later)
        engine.dispose()

    def _write_template(self) -> None:
        """Write the configuration that an import needs: the address of the store."""
        self.run("init", "config.toml")
        path = self.folder / "config.toml"
        path.write_text(f"[store]\nurl = {json.dumps(self.url)}\n", encoding="utf-8")
        self.run("migrate")

    def _configure(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self.run("init", "--append", "--table", trial.table)
        if self.is_quick:
            with (self.folder / "config.toml").open("a", encoding="utf-8") as file:
                file.writelines(
                    f"\n[monitors.{name}.model]\n{QUICK_MODEL}"
                    for name, monitor in self._monitors().items()
                    if "series" not in monitor
                )
        self.run("check")

    def _monitors(self) -> dict[str, dict[str, object]]:
        config = tomllib.loads((self.folder / "config.toml").read_text(encoding="utf-8"))
        monitors: dict[str, dict[str, object]] = config["monitors"]
        return monitors

    def _fill(self, engine: Engine, trial: Trial, records: pd.DataFrame) -> None:
        """Add records to a table, which is created if it does not exist."""
        known = records.drop(columns="is_odd")
        if not trial.columns:
            known.to_csv(self.folder / "records.csv", sep=";", index=False)
            self.run("import", "records.csv", "--table", trial.table, "--if-exists", "append")
            return
        columns = ", ".join(f"{name} {type_}" for name, type_ in trial.columns.items())
        names = ", ".join(f":{name}" for name in trial.columns)
        with writing(engine) as connection:
            connection.execute(
                text(f"CREATE TABLE IF NOT EXISTS {trial.table} ({columns}, PRIMARY KEY ({trial.primary_key}))")
            )
            connection.execute(text(f"INSERT INTO {trial.table} VALUES ({names})"), rows_of(known))

    def _outcome(self, engine: Engine, trial: Trial, later: pd.DataFrame) -> Outcome:
        # The view has an `id` of its own, that of the flagged row.
        names = ", ".join('"source_id"' if name == "id" else f'"{name}"' for name in trial.identity)
        with engine.connect() as connection:
            flagged = {tuple(map(str, row)) for row in connection.execute(text(f"SELECT {names} FROM {view(trial)}"))}
        identities = zip(*(later[name].astype(str) for name in trial.identity), strict=True)
        is_flagged = np.array([identity in flagged for identity in identities])
        is_odd = later["is_odd"].to_numpy(dtype=bool)
        return Outcome(
            table=trial.table,
            rate=float(str(self._monitors()[trial.table]["false_positive_rate"])),
            normal=int((~is_odd).sum()),
            flagged_normal=int((is_flagged & ~is_odd).sum()),
            odd=int(is_odd.sum()),
            flagged_odd=int((is_flagged & is_odd).sum()),
        )


def view(trial: Trial) -> str:
    """Return the name of the view of flagged rows next to their records."""
    return f"anomalies_{trial.table}"


def rows_of(records: pd.DataFrame) -> list[dict[str, object]]:
    """Return records as plain values by column; times are texts that every database reads."""
    texts = {
        name: records[name].dt.strftime("%Y-%m-%d %H:%M:%S") for name in records if records[name].dtype.kind == "M"
    }
    plain = records.assign(**texts).astype("object")
    return plain.where(plain.notna(), None).to_dict("records")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return 0 if every rate is good."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="sqlite:///plumbline.db", help="address of an empty database")
    parser.add_argument("--quick", action="store_true", help="train small networks, which takes a fraction of the time")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        url = options.url.replace("sqlite:///plumbline.db", f"sqlite:///{folder}/plumbline.db")
        newcomer = Newcomer(Path(folder), url, is_quick=options.quick)
        are_good = True
        for outcome in newcomer.try_tables(TRIALS):
            sys.stdout.write(
                f"{outcome.table:16} asked {outcome.rate:.2%}, found {outcome.found:.2%} of {outcome.normal:,} normal "
                f"records; {outcome.flagged_odd} of {outcome.odd} odd records flagged\n"
            )
            are_good = are_good and outcome.is_good
    return 0 if are_good else 1


if __name__ == "__main__":
    sys.exit(main())
