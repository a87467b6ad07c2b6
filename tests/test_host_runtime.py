"""Memory that XLA's CPU client frees stays in the process; libtpu is silent without a TPU."""

import gc
import glob
import os
import subprocess
import sys

import pytest

from codex_jax import host_runtime
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


_LIMIT = """
import numpy
from codex_jax.host_runtime import keep_freed_pages, limit_kept_pages

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

print(keep_freed_pages())
array = numpy.ones(1 << 25)  # 256 MiB
del array
kept, has_little = resident(), not limit_kept_pages(most=1 << 40)
print(has_little, kept - resident() < 64, limit_kept_pages(most=1 << 20), kept - resident() > 128)
"""


def test_a_large_process_returns_its_freed_pages():
    command = [sys.executable, "-c", _LIMIT]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if words[0] == "False":
        pytest.skip("this C library's malloc has no such settings")
    assert words[1:] == ["True"] * 4


@pytest.mark.parametrize("limit", ["max", str(1 << 20), str(1 << 62)])
def test_usable_memory_is_the_containers_or_the_hosts(tmp_path, monkeypatch, limit):
    (tmp_path / "memory.max").write_text(limit + "\n")
    monkeypatch.setattr(host_runtime, "_LIMITS", (tmp_path / "memory.max", tmp_path / "absent"))
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert host_runtime.usable_memory() == (1 << 20 if limit == "1048576" else host)


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


_LOADS_LIBTPU = """
{before}
import jax
print(jax.default_backend())
"""
_VARIABLES = ("TPU_SKIP_MDS_QUERY", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES")


def run_python(code, *arguments):
    """A process that looks for TPUs as a user's does, though others may have loaded libtpu."""
    ours = {"JAX_PLATFORMS", *_VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    "before",
    [
        "from codex_jax import host_runtime; host_runtime.quiet_libtpu()",
        "import codex_jax as cj; cj.Completion",
    ],
    ids=["host_runtime", "interface"],
)
def test_libtpu_prints_nothing_without_a_tpu(before):
    ended = run_python(_LOADS_LIBTPU.format(before=before))
    assert ended.returncode == 0
    assert ended.stderr == ""


@pytest.mark.parametrize("command", ["sample", "serve", "train", "compile"])
def test_a_command_looks_for_tpus_in_silence(command):
    """Settings are read with JAX's backends at hand, as later in the command."""
    code = """
import sys
from codex_jax.main import run
from codex_jax.main.cli import main
def bind(*arguments):
    import jax
    jax.default_backend()
    raise SystemExit(7)
run.bind = bind
main(sys.argv[1:])
"""
    ended = run_python(code, command)
    assert (ended.returncode, ended.stderr) == (7, "")


def test_a_users_own_setting_wins(monkeypatch):
    environment = {"TPU_ACCELERATOR_TYPE": "v4-8"}
    monkeypatch.setattr(glob, "glob", lambda _: [])
    monkeypatch.setattr(os, "environ", environment)
    host_runtime.quiet_libtpu()
    assert [environment[name] for name in _VARIABLES] == ["1", "v4-8", "localhost"]


def test_a_hosts_tpus_are_left_alone(monkeypatch):
    monkeypatch.setattr(glob, "glob", lambda pattern: [pattern] if "accel" in pattern else [])
    monkeypatch.setattr(os, "environ", {})
    host_runtime.quiet_libtpu()
    assert os.environ == {}
