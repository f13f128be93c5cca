"""Likelihoods of cells by name, and the traits that the rest of the program needs of them."""

from typing import Literal

Kind = Literal["gaussian", "binary", "category"]

DENSITIES: frozenset[Kind] = frozenset({"gaussian"})
"""Likelihoods of quantities, in units of the data; the other cells hold probabilities."""

SHARED: frozenset[Kind] = frozenset({"category"})
"""Likelihoods that all cells of a feature share: their probabilities sum to 1."""
