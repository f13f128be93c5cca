"""Plumbline: the public names, for `from plumbline import VAEDetector`.

Its parts are the packages `schemas`, `detector` and `jobs`. If your own project has a package `schemas` or `detector`,
the first use of a public name hides it, with a warning.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from plumbline.own_packages import import_own

if TYPE_CHECKING:
    from detector import VAEDetector
    from schemas.errors import (
        ArtifactError,
        BackendError,
        ConfigError,
        MissingColumns,
        NotEnoughRecords,
        PlumblineError,
        RateTooSmall,
        RecordsError,
        UsageError,
    )

__all__ = [
    "ArtifactError",
    "BackendError",
    "ConfigError",
    "MissingColumns",
    "NotEnoughRecords",
    "PlumblineError",
    "RateTooSmall",
    "RecordsError",
    "UsageError",
    "VAEDetector",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, since Keras takes seconds to import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("plumbline")
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import_own("schemas", "detector", warn=True)
    return getattr(import_module("detector" if name == "VAEDetector" else "schemas.errors"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
