"""The chi-squared distribution: scoring needs one of its quantiles, for which SciPy would be most of a small install.

The tail of k degrees of freedom is a finite sum of positive terms (Abramowitz & Stegun, *Handbook of Mathematical
Functions*, 26.4.4 and 26.4.5).
"""

import math

_BISECTIONS = 60


def exceeded_with(probability: float, degrees: int) -> float:
    """Return what a chi-squared variable exceeds with a probability.

    >>> round(exceeded_with(0.05, 1), 3), round(exceeded_with(0.01, 10), 3)
    (3.841, 23.209)
    """
    low, high = 0.0, float(degrees)
    while _tail(high, degrees) > probability:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _tail(middle, degrees) > probability:
            low = middle
        else:
            high = middle
    return high


def _tail(x: float, degrees: int) -> float:
    """Return the probability that a chi-squared variable exceeds x > 0."""
    half, offset = x / 2, degrees % 2 / 2
    powers = (offset + term for term in range(degrees // 2))
    total = math.erfc(math.sqrt(half)) if offset else 0.0
    return total + math.fsum(math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers)
