"""Likelihoods by kind of cell: the value that a decoder output stands for, and the cost of an observed cell.

Written once for Keras ops and for NumPy (see `core.arrays`). A new likelihood is a class here and its name in
`Likelihoods.KINDS`, a kind with its traits in `cell_kinds`, and a feature type whose cells are of that kind.

Shapes: K members, n records, d cells, g features with categories.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from detector.core.arrays import Arrays
from detector.core.autoencoder import HALF_LOG_TWO_PI, gaussian_nll
from detector.records.encoder import SQUASH_FROM, Layout

LOGIT_LIMIT = 20.0


class CellLikelihood(ABC):
    """The likelihood of cells of one kind, computed for all cells of a record.

    Args:
        arrays: the array library.
        layout: of the cells.
    """

    def __init__(self, arrays: Arrays, layout: Layout) -> None:
        self._arrays, self._layout = arrays, layout

    @abstractmethod
    def expected(self, output: Any) -> Any:
        """Return the standardised cells (K, n, d) that decoder outputs (K, n, d) stand for."""

    @abstractmethod
    def nll(self, output: Any, target: Any, log_sd: Any) -> Any:
        """Return the negative log-likelihood in nats of standardised cells (K, n, d).

        Args:
            output: (K, n, d) of the decoder.
            target: (K, n, d), the cells.
            log_sd: (K, n, d), logarithm of the learned standard deviation.
        """

    def _limited(self, output: Any) -> Any:
        return self._arrays.clip(output, -LOGIT_LIMIT, LOGIT_LIMIT)

    def _share(self, cells: Any) -> Any:
        """Convert standardised cells to shares of 0 to 1."""
        return cells * self._layout.scales + self._layout.means

    def _standardised(self, share: Any) -> Any:
        return (share - self._layout.means) / self._layout.scales


class Gaussian(CellLikelihood):
    """A number with a learned standard deviation."""

    def expected(self, output: Any) -> Any:
        """Implement `CellLikelihood.expected`."""
        return output

    def nll(self, output: Any, target: Any, log_sd: Any) -> Any:
        """Implement `CellLikelihood.nll`."""
        return gaussian_nll(self._arrays, target, output, log_sd) + HALF_LOG_TWO_PI


class Binary(CellLikelihood):
    """A flag; the output is the log odds that it is set."""

    def expected(self, output: Any) -> Any:
        """Implement `CellLikelihood.expected`."""
        return self._standardised(self._arrays.sigmoid(self._limited(output)))

    def nll(self, output: Any, target: Any, log_sd: Any) -> Any:  # noqa: ARG002
        """Implement `CellLikelihood.nll`."""
        logit = self._limited(output)
        return self._arrays.softplus(logit) - self._share(target) * logit


class Category(CellLikelihood):
    """A level of a category, one cell for each level; the outputs are log odds, normalised within the feature."""

    def __init__(self, arrays: Arrays, layout: Layout) -> None:
        super().__init__(arrays, layout)
        self._groups = layout.groups()  # (d, g)
        self._cells = np.ascontiguousarray(self._groups.T)

    def expected(self, output: Any) -> Any:
        """Implement `CellLikelihood.expected`."""
        return self._standardised(self._arrays.exp(self._arrays.minimum(self._log_share(output), 0.0)))

    def nll(self, output: Any, target: Any, log_sd: Any) -> Any:  # noqa: ARG002
        """Implement `CellLikelihood.nll`, split over the cells of the feature."""
        return -self._share(target) * self._log_share(output)

    def _log_share(self, output: Any) -> Any:
        logit = self._limited(output)
        totals = self._arrays.matmul(self._arrays.exp(logit), self._groups)  # (K, n, g)
        return logit - self._arrays.matmul(self._arrays.log(totals + 1e-30), self._cells)


class CrossEntropy(CellLikelihood):
    """A number squeezed into 0 to 1, with the cross-entropy that plain autoencoders use (`likelihood = "bce"`)."""

    def expected(self, output: Any) -> Any:
        """Implement `CellLikelihood.expected`."""
        return 2 * SQUASH_FROM * self._arrays.sigmoid(self._limited(output)) - SQUASH_FROM

    def nll(self, output: Any, target: Any, log_sd: Any) -> Any:  # noqa: ARG002
        """Implement `CellLikelihood.nll`."""
        logit = self._limited(output)
        level = self._arrays.clip((target + SQUASH_FROM) / (2 * SQUASH_FROM), 0.0, 1.0)  # -4 to 4 as 0 to 1
        return self._arrays.softplus(logit) - level * logit


class Likelihoods:
    """The likelihoods of all cells of a network.

    Args:
        arrays: the array library.
        likelihood: "auto" for the likelihood of each cell's kind; "mse" or "bce" for one likelihood for all cells.
        layout: of the cells.
    """

    KINDS: ClassVar[dict[str, type[CellLikelihood]]] = {
        "gaussian": Gaussian,
        "binary": Binary,
        "category": Category,
        "bce": CrossEntropy,
    }
    FORCED: ClassVar[dict[str, str]] = {"mse": "gaussian", "bce": "bce"}

    def __init__(self, arrays: Arrays, likelihood: str, layout: Layout) -> None:
        forced = self.FORCED.get(likelihood)
        kinds = layout.kinds if forced is None else np.full(layout.width, forced, dtype=object)
        self._parts = [
            (self.KINDS[kind](arrays, layout), (kinds == kind).astype(np.float32)) for kind in dict.fromkeys(kinds)
        ]

    def expected(self, output: Any) -> Any:
        """Return the standardised cells (K, n, d) that decoder outputs (K, n, d) stand for."""
        return sum(is_kind * part.expected(output) for part, is_kind in self._parts)

    def nll(self, output: Any, target: Any, log_sd: Any) -> Any:
        """Return the negative log-likelihood in nats of standardised cells (K, n, d)."""
        return sum(is_kind * part.nll(output, target, log_sd) for part, is_kind in self._parts)


def draw(layout: Layout, expected: np.ndarray, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw standardised cells around their expectation (n, d), with standard deviations (d,); a category as a whole."""
    noisy = expected + sd * rng.standard_normal(expected.shape)
    share = expected * layout.scales + layout.means
    is_set = rng.random(expected.shape) < share
    gumbel = np.log(np.maximum(share, 1e-9)) + rng.gumbel(size=share.shape)
    for group in layout.groups().T > 0:
        is_set[:, group] = gumbel[:, group] == gumbel[:, group].max(axis=1, keepdims=True)
    return np.where(layout.is_density, noisy, (is_set - layout.means) / layout.scales)
