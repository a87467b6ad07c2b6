"""keep_freed_pages: what XLA's CPU client frees isn't given back to the kernel."""

import gc
import subprocess
import sys

import pytest

from codex_jax.host_runtime import gc_disabled

_STEPS = """
import resource
import jax, jax.numpy as jnp
from codex_jax.host_runtime import keep_freed_pages

@jax.jit
def step(x):  # 64 MiB of temporaries
    return jnp.sin(jnp.outer(x, x)) @ x

def faults(x):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_pages() if {keep} else False
x = jnp.arange(4096.0)
print(kept, min(faults(x) for _ in range(12)))  # it takes some steps to settle
"""


def faults(keep: bool) -> tuple[str, int]:
    command = [sys.executable, "-c", _STEPS.format(keep=keep)]
    is_set, count = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()
    return is_set, int(count)


def test_a_step_finds_its_pages_again():
    is_set, count = faults(keep=True)
    if is_set == "False":
        pytest.skip("this C library's malloc has no such settings")
    assert count < 1_000  # of 16,384 pages of one temporary


def test_by_default_it_does_not():
    assert faults(keep=False)[1] > 10_000


def test_no_garbage_is_looked_for_within():
    assert gc.isenabled()
    with gc_disabled():
        assert not gc.isenabled()
    assert gc.isenabled()
