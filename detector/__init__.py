"""The model library of Plumbline: detectors of anomalies in data frames.

It uses no SQL, no clock and no environment; only `detector.core.threads` starts threads.
`VAEDetector` is its scikit-learn interface.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detector.estimator import VAEDetector

__all__ = ["VAEDetector"]


def __getattr__(name: str) -> Any:
    """Import `VAEDetector` on first use, since Keras takes seconds to import."""
    if name == "VAEDetector":
        from detector.estimator import VAEDetector

        return VAEDetector
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
