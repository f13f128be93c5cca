"""The forward pass of the networks of records: K members, from visible cells to expected cells.

Written once for Keras ops, in which they are trained, and for NumPy, in which they score (see `core.arrays`).
Shapes: n records, K members, V views (2, or 1 for a single member), d cells, h hidden units, l latent dimensions.

Source of the hidden cells in training: Ivanov et al., *Variational Autoencoder with Arbitrary Conditioning* (2019).
"""

from collections.abc import Mapping
from typing import Any

from detector.core.arrays import Arrays
from detector.core.autoencoder import EncoderDecoder, divergence
from detector.records.architecture import DECODER_SKIP, ENCODER_SKIP, Architecture
from detector.records.encoder import Layout
from detector.records.likelihoods import Likelihoods


class Networks:
    """The forward pass, as a function of the weights.

    Args:
        arrays: the array library.
        architecture: shapes and likelihood.
        layout: of the cells.
        weights: an array or a variable for every name in `architecture.shapes()`.
    """

    def __init__(self, arrays: Arrays, architecture: Architecture, layout: Layout, weights: Mapping[str, Any]) -> None:
        self._arrays, self._architecture = arrays, architecture
        self._halves = EncoderDecoder(arrays, weights, ENCODER_SKIP, DECODER_SKIP)
        self._likelihoods = Likelihoods(arrays, architecture.likelihood, layout)

    def reconstruct(self, visible: Any, hidden: Any) -> dict[str, Any]:
        """Encode and decode at the posterior mean; return the fields of `posterior.Reconstruction`.

        Args:
            visible: (n, 1 or V or K, d).
            hidden: (n, 1 or K, d).
        """
        z_mean, _ = self._encode(self._for_members(visible), self._for_members(hidden))
        return self._reconstruction(z_mean, self._likelihoods.expected(self._halves.decode(z_mean)))

    def posterior(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Encode, draw, decode and measure `posterior.Inputs`; return the fields of `posterior.Posterior`."""
        visible, hidden, target, observed, noise = (
            self._for_members(inputs[name]) for name in ("visible", "hidden", "target", "observed", "draw")
        )  # (K, n, d), and (K, n, l) for the draw
        z_mean, h = self._encode(visible, hidden)
        z_log_var = self._log_var(z_mean, h)
        z = z_mean + self._arrays.exp(0.5 * z_log_var) * noise if self._is_vae else z_mean
        output = self._halves.decode(z)
        nll = self._likelihoods.nll(output, target, self._log_sd(hidden))  # (K, n, d)
        kl = divergence(self._arrays, z_mean, z_log_var)  # (K, n)
        return {
            **self._reconstruction(z_mean, self._likelihoods.expected(output)),
            "z_log_var": self._arrays.transpose(z_log_var, (1, 0, 2)),
            "nll": self._arrays.mean(nll * observed, axis=0),  # (n, d)
            "kl": self._arrays.mean(kl, axis=0) if self._is_vae else self._arrays.zeros_like(kl[0]),  # (n,)
        }

    def expected(self, z: Any) -> Any:
        """Decode latents (K, n, l) to standardised cells (K, n, d)."""
        return self._likelihoods.expected(self._halves.decode(z))

    @property
    def _is_vae(self) -> bool:
        return self._architecture.kind == "vae"

    def _encode(self, visible: Any, hidden: Any) -> tuple[Any, Any]:
        """Return posterior means (K, n, l) and hidden units (K, n, h)."""
        h = self._halves.hidden_units(self._arrays.concatenate([visible, hidden], axis=-1))
        return self._halves.mean(h, visible), h

    def _log_var(self, z_mean: Any, h: Any) -> Any:
        return self._halves.log_var(h) if self._is_vae else self._arrays.zeros_like(z_mean)

    def _reconstruction(self, z_mean: Any, expected: Any) -> dict[str, Any]:
        views = range(min(2, self._architecture.members))
        means = [self._arrays.mean(expected[view::2], axis=0) for view in views]
        return {
            "z_mean": self._arrays.transpose(z_mean, (1, 0, 2)),  # (n, K, l)
            "expected": self._arrays.stack(means, axis=1),  # (n, V, d)
        }

    def _for_members(self, cells: Any) -> Any:
        """Return cells (n, 1 or V or K, d) by member, (K, n, d): member k has the view k modulo V."""
        by_view = self._arrays.transpose(cells, (1, 0, 2))
        copies = -(-self._architecture.members // cells.shape[1])
        return self._arrays.concatenate([by_view] * copies, axis=0)[: self._architecture.members]

    def _log_sd(self, hidden: Any) -> Any:
        """Return the log standard deviations (K, n, d): one learned value for visible cells, one for hidden cells."""
        if not self._architecture.learns_variance:
            return 0.0
        log_sd = self._halves.log_sd()  # (K, 2, d)
        return log_sd[:, :1] + hidden * (log_sd[:, 1:] - log_sd[:, :1])
