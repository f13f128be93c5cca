"""Sabotages the guarantees of the ledger one by one and prints which tests notice: ``python -m scripts.sabotage``.

Each sabotage is applied to a copy of the repository, in which the tests that guard the guarantee run. The exit code is
1 if a sabotage is not noticed, or if its place in the code has changed. A word limits the sabotages to those whose
name contains it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_STORE = "tests/integration/test_store.py"
_RECOUNTING = "tests/integration/test_recounting.py"
_STATES = "tests/integration/test_threshold_states.py"
_COMMIT = "connection.connection.commit()"  # of the driver: what follows is another transaction


@dataclass(frozen=True)
class Sabotage:
    """A change that breaks one guarantee.

    Attributes:
        name: what is broken.
        file: in the repository.
        before: a text that occurs once in the file.
        after: replaces it.
        tests: that have to notice.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


SABOTAGES = (
    Sabotage(
        "fencing dropped: a worker without the claim may write",
        "jobs/store/ledger.py",
        'is_ours = and_(batches.c.id == batch.id, batches.c.token == batch.token, batches.c.state == "running")',
        "is_ours = batches.c.id == batch.id",
        (f"{_STORE}::test_an_expired_lease_is_taken_over_and_the_first_worker_writes_nothing",),
    ),
    Sabotage(
        "order of commits: the ledger commits before the results",
        "jobs/store/ledger.py",
        "            changed_times = write_result(connection, result, origin)\n",
        f"            {_COMMIT}\n            changed_times = write_result(connection, result, origin)\n",
        (f"{_STORE}::test_a_result_that_fails_half_way_leaves_nothing",),
    ),
    Sabotage(
        "lease ignored: a batch is taken from a worker that holds it",
        "jobs/store/ledger.py",
        'and_(c.state == "running", c.lease_until < at)',
        'and_(c.state == "running", c.lease_until.is_not(None))',
        (f"{_STORE}::test_batches_are_claimed_oldest_first_and_once",),
    ),
    Sabotage(
        "watermark moved early: past records that have not settled",
        "jobs/reading/source.py",
        "last = last.where(table.before(tuple(first), page))",
        "last = last.where(table.key_columns(page)[0].is_not(None))",
        ("tests/integration/test_source.py::test_a_range_ends_before_the_first_record_that_is_not_settled",),
    ),
    Sabotage(
        "tracker moved twice: a rescoring starts from its own result",
        "jobs/store/threshold_states.py",
        "row.state_before if row.batch_id == batch.id else row.state_after",
        "row.state_after",
        (f"{_STATES}::test_scoring_again_moves_nothing_and_flags_the_same",),
    ),
    Sabotage(
        "outbox outside of the transaction: an event commits without its alert",
        "jobs/store/alerts.py",
        "    event = connection.execute(select(events).where(events.c.id == event_id)).one()\n",
        f"    {_COMMIT}\n    event = connection.execute(select(events).where(events.c.id == event_id)).one()\n",
        ("tests/integration/test_events.py::test_an_event_whose_alert_cannot_be_written_is_not_recorded",),
    ),
    Sabotage(
        "late batch not sent back: a changed batch keeps its results",
        "jobs/store/recounting.py",
        "return self.is_watched and self.is_changed",
        "return False",
        (f"{_RECOUNTING}::test_a_record_that_comes_late_is_scored_with_its_batch",),
    ),
    Sabotage(
        "token reused: two claims of a batch look alike",
        "jobs/store/ledger.py",
        "token = choice.token or str(uuid4())",
        'token = "token"',
        (f"{_STORE}::test_an_expired_lease_is_taken_over_and_the_first_worker_writes_nothing",),
    ),
    Sabotage(
        "heartbeat by a dead process: the lease is renewed after the work has ended",
        "jobs/heartbeat.py",
        "        is_over.set()\n",
        "        pass\n",
        ("tests/unit/test_heartbeat.py::test_the_heartbeat_ends_with_its_block_even_on_an_error",),
    ),
    Sabotage(
        "recount skipped: finished batches are never read again",
        "jobs/store/recounting.py",
        "or_(c.recount_at < due_at, c.recounted_at > at)",
        "c.recount_at.is_(None)",
        (f"{_RECOUNTING}::test_a_corrected_record_is_rescored_and_its_row_stays",),
    ),
    Sabotage(
        "two holders: a batch decides while another has its turn",
        "jobs/store/turns.py",
        "or_(before.exists(), in_turn.exists())",
        "before.exists()",
        (f"{_STATES}::test_a_batch_to_rescore_gives_way_to_new_ones_and_keeps_a_turn_it_has",),
    ),
    Sabotage(
        "turn out of order: a batch decides before those that precede it",
        "jobs/store/turns.py",
        "or_(before.exists(), in_turn.exists())",
        "in_turn.exists()",
        (f"{_STATES}::test_batches_are_scored_side_by_side_and_decide_one_after_another",),
    ),
    Sabotage(
        "turn of a late worker kept: it finishes while another decides",
        "jobs/store/turns.py",
        "            _end_expired_turns(connection, batch, at)",
        "            pass",
        (f"{_STATES}::test_a_batch_to_rescore_gives_way_to_new_ones_and_keeps_a_turn_it_has",),
    ),
)


def main(words: Sequence[str]) -> int:
    """Apply the sabotages whose names contain the words, and return the exit code."""
    chosen = [sabotage for sabotage in SABOTAGES if all(word in sabotage.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="plumbline-sabotage-") as folder:
        copy = copied(Path(folder) / "repository")
        missed = [sabotage for sabotage in chosen if not is_noticed(sabotage, copy)]
    sys.stdout.write(f"{len(chosen) - len(missed)} of {len(chosen)} sabotages were noticed.\n")
    return int(bool(missed))


def copied(target: Path) -> Path:
    """Copy the files that git knows, and those that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - the one on the path
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def is_noticed(sabotage: Sabotage, copy: Path) -> bool:
    """Apply a sabotage to the copy, run its tests, print which of them failed, and undo it."""
    path = copy / sabotage.file
    text = path.read_text(encoding="utf-8")
    if text.count(sabotage.before) != 1:
        sys.stdout.write(f"{sabotage.name}\n  its place in {sabotage.file} has changed: correct scripts/sabotage.py\n")
        return False
    path.write_text(text.replace(sabotage.before, sabotage.after), encoding="utf-8")
    failed = failed_tests(sabotage.tests, copy)
    path.write_text(text, encoding="utf-8")
    noticed = "".join(f"  noticed by {name}\n" for name in failed) or "  NOT noticed\n"
    sys.stdout.write(f"{sabotage.name}\n{noticed}")
    sys.stdout.flush()
    return bool(failed)


def failed_tests(tests: Sequence[str], copy: Path) -> list[str]:
    """Run tests in the copy, and return those that fail in an assertion or by an exception."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not postgresql", *tests]
    run = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)  # noqa: S603 - our own tests
    if run.returncode > 1:  # no test ran
        sys.stdout.write(run.stdout[-2000:] + run.stderr[-2000:])
        return []
    return re.findall(r"^FAILED (\S+)", run.stdout, re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
