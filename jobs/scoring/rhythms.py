"""The rhythm of each entity in a page of records."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from detector.series.segments import entities_of, positions_of
from jobs.store.rhythm import PAUSES_KEPT, BatchRhythms, Pause, Rhythm, SourcePause, longest_of, notable
from schemas.config import MonitorConfig


def rhythms_of(records: pd.DataFrame, monitor: MonitorConfig) -> BatchRhythms | None:
    """Return the rhythm of each entity in a page, with positions in the page; None if silence is not watched.

    Records without an entity or a time count for the pauses of others only.
    """
    if monitor.entity is None or monitor.time is None or monitor.silent_after == "never":
        return None
    times = pd.Series(records[monitor.time])
    positions = np.flatnonzero((times.notna() & records[monitor.entity].notna()).to_numpy())
    if len(positions) == 0:
        return None
    entities = entities_of(records, monitor.entity)[positions]
    seconds = times.iloc[positions].to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6
    rhythms = {name: _rhythm(positions[rows], seconds[rows]) for name, rows in positions_of(entities).items()}
    return BatchRhythms(rhythms, _moment(seconds[0]), _moment(seconds.max()), _source_pauses(seconds))


def _source_pauses(seconds: np.ndarray) -> tuple[SourcePause, ...]:
    """Return the notable pauses of the source from the times (n,) of its records, in order of keys."""
    newest = np.maximum.accumulate(seconds)
    lengths = np.diff(newest)
    longest_later = np.append(np.maximum.accumulate(lengths[::-1])[::-1][1:], 0.0)
    is_notable = lengths > longest_later[: len(lengths)]
    return notable([SourcePause(_moment(newest[i]), _moment(newest[i + 1])) for i in np.flatnonzero(is_notable)])


def _rhythm(positions: np.ndarray, seconds: np.ndarray) -> Rhythm:
    """Return the rhythm of an entity from the positions and times (n,) of its records, in order of keys."""
    first_at, last_at = _moment(seconds.min()), _moment(seconds.max())
    if len(positions) == 1:
        return Rhythm(first_at, last_at, int(positions[0]), int(positions[0]))
    in_records, in_seconds = np.diff(positions), np.maximum(np.diff(seconds), 1.0)
    longest = np.argsort(in_records, kind="stable")[-PAUSES_KEPT:]
    return Rhythm(
        first_at,
        last_at,
        first_position=int(positions[0]),
        last_position=int(positions[-1]),
        pauses=len(in_records),
        usual_records=float(np.exp(np.log(in_records).mean())),
        usual_seconds=float(np.exp(np.log(in_seconds).mean())),
        longest=longest_of((Pause(int(in_records[i]), _moment(seconds[i + 1])) for i in longest), last_at),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
