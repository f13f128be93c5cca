"""`check --source-conformance`: what of a database works as a source, found out by reading alone."""

from jobs.conformance.outcome import Outcome
from jobs.conformance.run import IMPATIENT, check_conformance

__all__ = ["IMPATIENT", "Outcome", "check_conformance"]
