"""Imports of Plumbline's own packages, whose names other projects use too."""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_FOLDER = Path(__file__).resolve().parents[1]


class _OwnPackages(MetaPathFinder):
    """A finder of packages in Plumbline's folder, whatever lies in the current folder or on PYTHONPATH."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 - of the interface
    ) -> ModuleSpec | None:
        """Return the spec of a package that is Plumbline's own, or None."""
        return PathFinder.find_spec(fullname, [str(_FOLDER)]) if path is None and fullname in self.names else None


_ADVICE = "Rename your package, or use Plumbline in a process of its own, such as its HTTP API."
_FINDER = _OwnPackages()


def import_own(*names: str, warn: bool = False) -> None:
    """Import packages of these names from Plumbline's own folder from now on.

    Args:
        names: of top-level packages.
        warn: whether to warn if that hides a package of the same name.

    Raises:
        ImportError: If another package of such a name has been imported already.
    """
    for name in names:
        loaded = sys.modules.get(name)
        if loaded is not None and not _is_own(getattr(loaded, "__file__", None)):
            raise ImportError(_taken(name, _place(getattr(loaded, "__spec__", None)) or "an unknown place"))
        if warn and name not in _FINDER.names and (hidden := _hidden(name)):
            msg = f"Plumbline's package {name!r} hides yours at {hidden}. {_ADVICE}"
            warnings.warn(msg, stacklevel=4)
    _FINDER.names |= set(names)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def _taken(name: str, place: str) -> str:
    return (
        f"A package {name!r} from {place} is imported already, and Plumbline has one of the same name. "
        f"Import plumbline first. {_ADVICE}"
    )


def _hidden(name: str) -> str | None:
    """Return the place of another package of a name that Python would import, or None."""
    place = _place(PathFinder.find_spec(name))
    return None if place is None or _is_own(place) else place


def _place(spec: ModuleSpec | None) -> str | None:
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)


def _is_own(file: str | None) -> bool:
    return file is not None and Path(file).resolve().is_relative_to(_FOLDER)
