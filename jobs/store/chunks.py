"""Long lists cut into chunks, as databases limit the parameters of a statement."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

IDS_PER_STATEMENT = 500

_Item = TypeVar("_Item")


def chunks(items: Iterable[_Item], size: int = IDS_PER_STATEMENT) -> Iterator[list[_Item]]:
    """Yield the items in lists of at most `size`.

    >>> list(chunks([1, 2, 3, 4, 5], 2))
    [[1, 2], [3, 4], [5]]
    """
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
