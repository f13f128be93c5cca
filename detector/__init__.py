"""The model library of Plumbline: frames and arrays in, frames and arrays out.

It knows no SQL, no clock and no environment; threads are the business of `parallel` alone.
`VAEDetector` is its scikit-learn face.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detector.estimator import VAEDetector

__all__ = ["VAEDetector"]


def __getattr__(name: str) -> Any:
    """`VAEDetector`, imported when it is first asked for: Keras takes seconds to import."""
    if name == "VAEDetector":
        from detector.estimator import VAEDetector

        return VAEDetector
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
