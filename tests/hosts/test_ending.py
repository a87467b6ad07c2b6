"""The end of a process: stacks, a sentence, a status; an abort has them, too."""

import subprocess
import sys

import pytest

from codex_jax.hosts import LOST_STATUS

EXPECTED = """
import ctypes
from codex_jax.hosts.ending import expect_abort, name_aborts
name_aborts()
expect_abort(2)
ctypes.CDLL(None).abort()
"""

LEAVE = """
import threading
from codex_jax.hosts.ending import leave
for n in range(3):
    threading.Thread(target=leave, args=(f"sentence {n}",)).start()
threading.Event().wait()
"""

WAIT = """
import sys, threading, time
from jax._src import distributed
from codex_jax.hosts import ending
distributed.global_state.num_processes = 2
ending._SECONDS_OF_PROCESS_0 = 1.0
def chat():
    while True:
        print("a step", file=sys.stderr, flush=True)
        time.sleep(0.01)
threading.Thread(target=chat).start()
ending.leave("the end")
"""

ABORT = """
import ctypes, sys, threading
from jax._src import distributed
from codex_jax.hosts.ending import name_aborts
distributed.global_state.process_id = int(sys.argv[1])
distributed.global_state.num_processes = int(sys.argv[2])
name_aborts()
threading.Thread(target=ctypes.CDLL(None).abort).start()
threading.Event().wait()
"""


def run(script, *words):
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_of_several_sentences_the_first_is_the_last_line():
    done = run(LEAVE)
    assert done.returncode == LOST_STATUS
    assert "stacks of all threads:" in done.stderr
    assert done.stderr.count("sentence ") == 1
    assert done.stderr.splitlines()[-1].startswith("codex-jax: process 0: sentence ")


def test_nothing_is_written_after_the_sentence():
    done = run(WAIT)
    assert done.returncode == LOST_STATUS
    assert done.stderr.splitlines()[-1] == "codex-jax: process 0: the end"


@pytest.mark.parametrize(
    ("index", "count", "status", "line"),
    [
        (
            1,
            2,
            LOST_STATUS,
            "process 1: process 0, which coordinates all, is gone, or ended the run",
        ),
        (0, 2, LOST_STATUS, "process 0: another process is lost, or JAX aborts; look at the logs"),
        (0, 1, -6, ""),
    ],
)
def test_an_abort_names_the_lost_one(index, count, status, line):
    done = run(ABORT, str(index), str(count))
    assert done.returncode == status
    assert done.stderr.rpartition("\ncodex-jax: ")[2].startswith(line)


def test_an_expected_abort_is_silent():
    done = run(EXPECTED)
    assert (done.returncode, done.stderr) == (2, "")
