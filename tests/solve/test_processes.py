"""Processes of a search: chunks in order, whichever process is faster, and no JAX in them."""

import sys

import pytest

from codex_jax.solve.processes import open_processes


def has_jax(items):
    return ["jax" in sys.modules for _ in items]


def test_results_are_in_order_and_chunks_have_eight_items():
    with open_processes(20, 2) as map_chunks:
        assert list(map_chunks(sorted, range(19, -1, -1))) == [
            *range(12, 20),
            *range(4, 12),
            *range(4),
        ]
        assert list(map_chunks(list, "ab")) == ["a", "b"]  # fewer than before, same processes
        assert list(map_chunks(has_jax, [1])) == [False]


def test_an_error_within_a_process_is_the_caller_s():
    with open_processes(1, 5) as map_chunks, pytest.raises(ZeroDivisionError):
        list(map_chunks(fail, [1]))


def fail(_):
    raise ZeroDivisionError
