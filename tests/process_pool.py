"""An executor that a configuration names, as a user would write it."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def two_processes():
    return ProcessPoolExecutor(2, get_context("spawn"))
