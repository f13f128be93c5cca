"""The trained networks in NumPy: latents and reconstruction of records, which is all that most scores need.

The same mathematics as in `vae.py`, without the likelihood, for half its time. Every product has one fixed shape and
the rest goes number by number, so that what is said of a record does not depend on the records beside it.
"""

from collections.abc import Mapping

import numpy as np

from detector.core.products import BLOCK, in_blocks
from detector.records.architecture import Architecture
from detector.records.encoder import SQUASH_FROM, Layout
from detector.records.posterior import Inputs, Reconstruction

LOGIT_LIMIT = 20.0
BLOCKS = 16  # worked on at once: their numbers stay in the cache


class NumpyNetwork:
    """K networks, from what they see to what they expect.

    Args:
        architecture: shapes and likelihood.
        layout: what each cell is.
        weights: an array for every name in `architecture.shapes()`.
    """

    def __init__(self, architecture: Architecture, layout: Layout, weights: Mapping[str, np.ndarray]) -> None:
        self._members = architecture.members
        self._weights = {name: weight[:, None] for name, weight in weights.items()}  # (K, 1, ...), for each block
        forced = {"mse": "gaussian", "bce": "bce"}.get(architecture.likelihood)
        kinds = layout.kinds if forced is None else np.full(layout.width, forced, dtype=object)
        self._is = {kind: kinds == kind for kind in ("binary", "category", "bce")}
        self._layout, self._groups = layout, layout.groups()

    def __call__(self, inputs: Inputs) -> Reconstruction:
        """What the networks say of n records."""
        step = BLOCK * BLOCKS
        parts = [
            self._part(inputs.visible[start : start + step], inputs.hidden[start : start + step])
            for start in range(0, len(inputs), step)
        ]
        z_mean, expected = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Reconstruction(z_mean, expected)

    def _part(self, visible: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latents (n, K, l) and expected cells (n, V, d) of (n, V, d) visible and (n, 1, d) hidden cells."""
        seen = self._in_blocks(visible)  # (K, B, BLOCK, d)
        z = self._encode(seen, self._in_blocks(hidden))
        expected = self._expected(self._decode(z))
        views = [expected[view::2].mean(axis=0) for view in range(visible.shape[1])]
        arrays = (np.moveaxis(z, 0, 2), np.stack(views, 2))
        z_mean, mean = (array.reshape(-1, *array.shape[2:])[: len(visible)] for array in arrays)
        return z_mean, mean

    def _in_blocks(self, cells: np.ndarray) -> np.ndarray:
        """(K, B, BLOCK, d) of cells (n, 1 or V, d), the last block filled up: member k has the view k modulo V."""
        views = in_blocks(cells.astype(np.float32, copy=False)).transpose(2, 0, 1, 3)
        return np.ascontiguousarray(views[np.arange(self._members) % len(views)])

    def _encode(self, visible: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        h = _silu(self._dense("encoder/input", np.concatenate([visible, hidden], axis=-1)))
        h += _silu(self._dense("encoder/hidden", h))
        return self._dense("encoder/mean", h) + visible @ self._weights["encoder/mean_skip/kernel"]

    def _decode(self, z: np.ndarray) -> np.ndarray:
        h = _silu(self._dense("decoder/input", z))
        h += _silu(self._dense("decoder/hidden", h))
        return self._dense("decoder/output", h) + z @ self._weights["decoder/output_skip/kernel"]

    def _dense(self, name: str, x: np.ndarray) -> np.ndarray:
        y = x @ self._weights[f"{name}/kernel"]
        y += self._weights[f"{name}/bias"]
        return y

    def _expected(self, output: np.ndarray) -> np.ndarray:
        """Standardised cells that decoder outputs (..., d) stand for."""
        expected = output.copy()
        logit = np.clip(output, -LOGIT_LIMIT, LOGIT_LIMIT)
        if (cells := self._is["bce"]).any():
            expected[..., cells] = SQUASH_FROM * np.tanh(0.5 * logit[..., cells])
        if (cells := self._is["binary"]).any():
            expected[..., cells] = self._standardised(0.5 + 0.5 * np.tanh(0.5 * logit[..., cells]), cells)
        if (cells := self._is["category"]).any():
            odds = np.exp(logit)
            totals = (odds @ self._groups) @ self._groups.T  # those of a cell's feature
            expected[..., cells] = self._standardised((odds / np.maximum(totals, odds))[..., cells], cells)
        return expected

    def _standardised(self, share: np.ndarray, cells: np.ndarray) -> np.ndarray:
        return (share - self._layout.means[cells]) / self._layout.scales[cells]


def _silu(x: np.ndarray) -> np.ndarray:
    half = 0.5 * x
    return half + half * np.tanh(half)
