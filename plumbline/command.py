"""The entry of the command `plumbline`."""

from plumbline.own_packages import import_own


def main() -> None:
    """Run a command and exit, although the current folder or PYTHONPATH may hold packages named like Plumbline's."""
    import_own("schemas", "detector", "jobs")
    from jobs.cli import main as run

    run()
