"""The commands `sample`, `encode` and `denoise`: the champion as a generative model."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.commands.options import monitor_argument, with_app
from jobs.kinds import kind_of
from jobs.wording import counted_noun
from schemas.errors import RecordsError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from detector.records.model import Model
    from jobs.app import App
    from jobs.output import Output

limit_option = click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of newest records."
)
out_option = click.option(
    "--out", "file", type=click.Path(path_type=Path), help="Write a .csv or .parquet file instead."
)


@click.command("sample")
@monitor_argument
@click.option(
    "-n", "count", type=click.IntRange(1, 1_000_000), default=10, show_default=True, help="Number of records."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@out_option
@with_app
def sample_command(app: "App", out: "Output", monitor: str, count: int, seed: int, file: Path | None) -> None:
    """Draw synthetic normal records from the champion."""
    app.config.monitor(monitor)
    model = _model(app, monitor)
    import numpy as np

    _print(out, model.sample(count, np.random.default_rng(seed)), file)


@click.command("encode")
@monitor_argument
@limit_option
@out_option
@with_app
def encode_command(app: "App", out: "Output", monitor: str, limit: int, file: Path | None) -> None:
    """Print the latent positions of the newest records."""
    import pandas as pd

    records, keys = _newest(app, monitor, limit)
    latents = _model(app, monitor).encode(records)
    names = [f"z{i}" for i in range(latents.shape[1])]
    _print(out, pd.concat([keys, pd.DataFrame(latents, columns=names)], axis=1), file)


@click.command("denoise")
@monitor_argument
@limit_option
@out_option
@with_app
def denoise_command(app: "App", out: "Output", monitor: str, limit: int, file: Path | None) -> None:
    """Print the newest records as the model rebuilds them. Missing values are imputed."""
    import pandas as pd

    records, keys = _newest(app, monitor, limit)
    rebuilt = _model(app, monitor).reconstruct(records)
    _print(out, pd.concat([keys, rebuilt], axis=1), file)


def _newest(app: "App", monitor: str, limit: int) -> "tuple[pd.DataFrame, pd.DataFrame]":
    source = app.source(monitor)
    records = source.read_newest(limit, []).reset_index(drop=True)
    if records.empty:
        raise RecordsError(f"Monitor {monitor!r} watches an empty table. Fill it first.")
    return records, records[list(source.monitor.key)]


def _model(app: "App", monitor: str) -> "Model":
    settings = app.monitor(monitor)
    load_generator = kind_of(settings).load_generator
    if load_generator is None:
        raise UsageError(
            f"Monitor {monitor!r} learns series, and a series model cannot generate records. "
            "Name a monitor without series."
        )
    champion = app.store.models.require_champion(monitor)
    return load_generator(app.store.models.blob(champion.model_id), champion, settings)


def _print(out: "Output", frame: "pd.DataFrame", file: Path | None) -> None:
    if file is not None:
        _write(frame, file)
        message = f"Wrote {counted_noun(len(frame), 'record')} to {file}."
        out.result({"path": str(file), "records": len(frame)}, lambda: out.line(message))
        return
    rows = frame.astype("object").where(frame.notna(), None)
    out.result(rows.to_dict("records"), lambda: out.table(list(frame.columns), rows.to_numpy().tolist()))


def _write(frame: "pd.DataFrame", file: Path) -> None:
    if file.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"{file} ends in neither .csv nor .parquet. Choose one of them.")
    write = frame.to_csv if file.suffix == ".csv" else frame.to_parquet
    try:
        write(file, index=False)
    except OSError as exc:
        reason = exc.strerror or exc
        raise UsageError(f"{file} cannot be written: {reason}. Choose a writable folder.") from exc
