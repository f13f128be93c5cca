"""Diagnoses of a monitor: why it flags nothing, or everything, and what to change.

Each diagnosis is a function that yields problems. A new one goes into the module of its topic, and into the list at the
end of that module.
"""

from jobs.diagnosis.case import Case, Problem
from jobs.diagnosis.diagnose import diagnose

__all__ = ["Case", "Problem", "diagnose"]
