"""Checks of the configuration against the live database, each a function that yields findings."""

from jobs.checks.finding import Finding
from jobs.checks.holidays import check_country
from jobs.checks.monitor import check_monitor, refuse_unfit
from jobs.checks.service import check_service, refuse_bad_service

__all__ = ["Finding", "check_country", "check_monitor", "check_service", "refuse_bad_service", "refuse_unfit"]
