"""Matrix products in blocks of one shape, so that each row rounds alike whatever rows are beside it."""

import numpy as np

BLOCK = 16  # rows of a matrix product: so few that BLAS starts no threads, which would wait for each other
SERIES_BLOCK = 256  # rows of a product for series; another number would round the scores of trained models otherwise


def in_blocks(rows: np.ndarray, size: int = BLOCK) -> np.ndarray:
    """(B, size, ...) of rows (n, ...), the last block filled up with zeros."""
    padded = np.zeros((-(-len(rows) // size) * size, *rows.shape[1:]), dtype=rows.dtype)
    padded[: len(rows)] = rows
    return padded.reshape(-1, size, *rows.shape[1:])


def blocked_product(rows: np.ndarray, matrix: np.ndarray, size: int = BLOCK) -> np.ndarray:
    """(n, m) product of rows (n, D) and (D, m)."""
    return (in_blocks(rows, size) @ matrix).reshape(-1, matrix.shape[1])[: len(rows)]
