"""The causes of a flagged record or an incident as numbers, by which they are compared."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def vector_of(causes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return a number for each cause: 1 plus its deviation, with its sign, times its part of all shares.

    >>> flow = {"feature": "flow", "share": 3.0, "deviation": -7.0}
    >>> vector_of([flow, {"feature": "temp", "share": 1.0, "deviation": 1.0}])
    {'flow': -6.0, 'temp': 0.5}
    """
    total = math.fsum(cause["share"] or 0.0 for cause in causes) or 1.0
    sizes = {
        cause["feature"]: math.copysign(1 + abs(cause["deviation"] or 0.0), cause["deviation"] or 0.0)
        for cause in causes
    }
    return {cause["feature"]: sizes[cause["feature"]] * (cause["share"] or 0.0) / total for cause in causes}
