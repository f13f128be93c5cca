"""The prior of the latents, a mixture of the posteriors of training records.

Training pulls the posteriors towards a standard normal distribution, but they do not fill it: a record in a gap
between them, which no normal record occupies, would seem usual. So records are scored under a
mixture of the posteriors of training records, the exemplars (Tomczak & Welling, *VAE with a VampPrior*, 2018;
Norouzi, Fleet & Norouzi, *Exemplar VAE*, 2020). The divergence from a mixture has no closed form; this module
computes the upper bound of Hershey & Olsen, *Approximating the Kullback Leibler Divergence Between Gaussian
Mixture Models* (2007): -log(mean(exp(-KL_i))) for the divergences KL_i from the m exemplars.

Shapes: n records, m exemplars, K members, l latent dimensions.
Members whose latents are joined to one vector count as one member here.
"""

import numpy as np

from detector.core.arithmetic import products

CHUNK_RECORDS = 64  # records measured at once: their distances fit into the cache


class ExemplarPrior:
    """A mixture of Gaussians in equal parts, for each member.

    Args:
        points: (m, K, l), the posterior means of the exemplars in units of `sd`.
        sd: (K, l), the standard deviations that all exemplars of a member share.
    """

    def __init__(self, points: np.ndarray, sd: np.ndarray) -> None:
        self._sd = sd.astype(np.float64)
        self._means = np.ascontiguousarray(points.transpose(1, 2, 0), dtype=np.float64)  # (K, l, m)
        self._half_squares = 0.5 * np.square(self._means).sum(axis=1)  # (K, m)

    def divergence(self, z_mean: np.ndarray, z_log_var: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return the nats from posteriors (n, K, l) to the prior, averaged over members, (n,) float64.

        Args:
            z_mean: (n, K, l), or any other shape of K * l numbers for each record.
            z_log_var: of the same shape.
            own: (n,) the position of each record among the exemplars, or -1; a record is not its own exemplar.
        """
        z_mean, z_log_var = (array.reshape(len(array), *self._sd.shape) for array in (z_mean, z_log_var))
        parts = [slice(start, start + CHUNK_RECORDS) for start in range(0, len(z_mean), CHUNK_RECORDS)]
        return np.concatenate([self._divergence(z_mean[part], z_log_var[part], own[part]) for part in parts])

    def _divergence(self, z_mean: np.ndarray, z_log_var: np.ndarray, own: np.ndarray) -> np.ndarray:
        z = z_mean / self._sd
        log_ratio = z_log_var - 2 * np.log(self._sd)
        spread_nats = 0.5 * (np.exp(log_ratio) - 1 - log_ratio).reshape(len(z), -1).sum(axis=1)
        members = range(len(self._sd))
        place_nats = np.sum([self._distance(member, z[:, member], own) for member in members], axis=0)
        return np.asarray((spread_nats + place_nats) / len(members))

    def _distance(self, member: int, z: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return -log(mean(exp(-distance**2 / 2))) over the exemplars, (n,), for points (n, l) in units of `sd`."""
        half_square = 0.5 * np.square(z).sum(axis=1)
        exponent = products(z, self._means[member])  # (n, m)
        exponent -= self._half_squares[member]
        own_rows = np.flatnonzero(own >= 0)
        exponent[own_rows, own[own_rows]] = -np.inf
        nearest = exponent.max(axis=1)
        exponent -= nearest[:, None]
        total = np.exp(exponent.astype(np.float32)).sum(axis=1, dtype=np.float64)  # float32 is twice as fast
        others = exponent.shape[1] - (own >= 0)
        return np.asarray(half_square - nearest - np.log(total / others))
