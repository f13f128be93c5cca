"""Kills, crashes, wrong clocks and full disks under real processes, compared with an undisturbed run.

Run `python -m tests.chaos --help` for its options; docs/reliability.md has the results.
"""
