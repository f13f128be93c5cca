"""The command line in a process with a wrong clock: `python -m tests.chaos.skewed SECONDS COMMAND`."""

import sys
from datetime import UTC, datetime, timedelta

import apscheduler.schedulers.base

from jobs import cli
from jobs.app import App


def skew(seconds):
    """Shift every clock that the service reads."""
    offset = timedelta(seconds=seconds)

    class Skewed(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + offset

    App.clock = staticmethod(lambda: datetime.now(UTC) + offset)
    apscheduler.schedulers.base.datetime = Skewed


if __name__ == "__main__":
    skew(float(sys.argv[1]))
    cli.main(sys.argv[2:])
