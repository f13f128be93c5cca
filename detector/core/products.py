"""Matrix products in blocks of one fixed shape, so that a row's rounding does not depend on the other rows."""

import numpy as np

BLOCK = 16  # rows of a matrix product: so few that BLAS starts no threads, which would wait for each other
SERIES_BLOCK = 256  # rows of a product for series; another number would change the rounding of trained models' scores


def in_blocks(rows: np.ndarray, size: int = BLOCK) -> np.ndarray:
    """Return rows (n, ...) as blocks (B, size, ...), the last block padded with zeros."""
    padded = np.zeros((-(-len(rows) // size) * size, *rows.shape[1:]), dtype=rows.dtype)
    padded[: len(rows)] = rows
    return padded.reshape(-1, size, *rows.shape[1:])


def blocked_product(rows: np.ndarray, matrix: np.ndarray, size: int = BLOCK) -> np.ndarray:
    """Return the product (n, m) of rows (n, D) and a matrix (D, m)."""
    return (in_blocks(rows, size) @ matrix).reshape(-1, matrix.shape[1])[: len(rows)]
