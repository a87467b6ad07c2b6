"""States of processes: what sleeps, what runs, and what is merely not run."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from codex_jax.evaluate.sandbox.guest import process_states

SLEEP = "import time\ntime.sleep(60)\n"
RUN = "while True: pass\n"
THREAD = (
    f"import threading\nt = threading.Thread(target=exec, args=({RUN!r},))\nt.start()\nt.join()\n"
)
CHILD = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {!r}])\n"


@contextlib.contextmanager
def started(script: str):
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def becomes(expected: bool, pid: int, **options) -> bool:
    """Whether a process is seen like that within a minute: it must start first."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process_states.is_asleep(pid, **options) is expected:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (SLEEP, True),
        (RUN, False),
        (THREAD, False),
        (CHILD.format(SLEEP), True),
        (CHILD.format(RUN), False),
    ],
    ids=["sleeps", "runs", "thread runs", "child sleeps", "child runs"],
)
def test_sleep_is_told_from_work_in_threads_and_children(script, expected):
    with started(script) as pid:
        assert becomes(expected, pid)


def test_what_is_stopped_is_not_asleep():
    with started(SLEEP) as pid:
        assert becomes(True, pid)
        os.kill(pid, signal.SIGSTOP)
        assert becomes(False, pid)


def test_processes_above_the_depth_do_not_count():
    script = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n{RUN}"
    with started(script) as pid:
        assert becomes(True, pid, depth=1)
        assert process_states.is_asleep(pid) is False


def test_a_process_that_is_gone_has_no_state():
    with started("pass") as pid:
        pass
    assert process_states.is_asleep(pid) is None
