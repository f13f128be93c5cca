"""Kinds of cells, each with its own likelihood (see `likelihoods`), and their traits."""

from typing import Literal

Kind = Literal["gaussian", "binary", "category"]

DENSITIES: frozenset[Kind] = frozenset({"gaussian"})
"""Kinds of quantities, in units of the data; the other cells hold probabilities."""

SHARED: frozenset[Kind] = frozenset({"category"})
"""Kinds whose likelihood all cells of a feature share: the probabilities sum to 1."""
