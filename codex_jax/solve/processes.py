"""Processes that search, each with a sandbox; they start without JAX."""

import concurrent.futures
import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_CHUNK = 8  # items that a process works on with one sandbox


@contextlib.contextmanager
def open_processes(
    count: int, workers: int
) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]]:
    """Yields a function that calls another with chunks of items, and yields the results in order.

    Args:
      count: items at a time, at most; 1 or more.
      workers: processes, at most.
    """
    processes = min(workers, -(-count // _CHUNK))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:

        def map_chunks(action: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
            chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
            for results in pool.map(action, chunks):
                yield from results

        yield map_chunks
