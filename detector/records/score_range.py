"""The range of the score `ensemble`, a product of ratios that has no bound of its own.

In a table of few distinct values nearly all records are alike. In units of the usual distance and of the usual odds, a
record unlike them is then arbitrarily far away, and its score would have thirty digits or more.
"""

import numpy as np

LINEAR_OCTAVE = 11  # scores below 2 ** LINEAR_OCTAVE, 2,048, are not compressed: in ordinary tables, nearly all
STEP = 1024.0  # that each further doubling adds, as in the last octave that is not compressed


def compressed(scores: np.ndarray) -> np.ndarray:
    """Return scores (n,) float64 that grow only with the logarithm beyond 2,048, in the same order.

    Within an octave the logarithm is a straight line, so the result has the same bits on every machine.

    >>> compressed(np.array([1.4, 2048.0, 4096.0, 6144.0, 8192.0, 1e30])).round(1).tolist()
    [1.4, 2048.0, 3072.0, 3584.0, 4096.0, 92751.6]
    """
    mantissa, exponent = np.frexp(scores)  # from 1/2 to below 1, of the octave below 2 ** exponent
    beyond = STEP * (exponent - LINEAR_OCTAVE + 2 * mantissa)
    return np.where(exponent > LINEAR_OCTAVE, beyond, scores)
