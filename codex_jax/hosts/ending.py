"""Ending a process whose peers are lost: stacks, a sentence, an exit status of its own."""

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

from jax._src import distributed

LOST_STATUS = 69  # EX_UNAVAILABLE: another process is lost, or nothing goes on; run again
_SECONDS_OF_PROCESS_0 = 5.0  # it serves the others' questions, and leaves after them

_leaving = threading.Lock()
_statuses: list[int] = []
_handlers: list[Any] = []  # C calls them: they must live as long as the process


def leave(sentence: str) -> NoReturn:
    """Dumps the stacks of all threads and a sentence to stderr, and ends the process at once.

    A thread in a collective can't be woken, so that nothing of this process is cleaned up. The
    first of several callers is the one whose sentence is printed.
    """
    with _leaving:
        try:
            _end_with(sentence)
        finally:  # also where nobody reads what is written
            os._exit(LOST_STATUS)


def _end_with(sentence: str) -> None:
    """Writes stacks and a sentence, after which nothing else is written."""
    sys.stdout.flush()
    print("stacks of all threads:", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    state = distributed.global_state  # jax.process_index() may wait for others
    log, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    time.sleep(0.2)  # in which another thread's write, if one is under way, ends
    os.write(log, f"codex-jax: process {state.process_id}: {sentence}\n".encode())
    if state.process_id == 0 and state.num_processes > 1:
        time.sleep(_SECONDS_OF_PROCESS_0)


def expect_abort(status: int) -> None:
    """Has an abort end this process with `status`, as it has said already why it ends."""
    _statuses.append(status)


def name_aborts() -> None:
    """Has a process end by `leave` where others are lost; JAX's client calls abort() then.

    The thread that aborts is the client's and holds no lock of ours, so that Python can run in it.
    """

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def handle(number: int) -> None:
        if _statuses:
            os._exit(_statuses[-1])
        if distributed.global_state.process_id:
            leave("process 0, which coordinates all, is gone, or ended the run; look at its log")
        if (distributed.global_state.num_processes or 1) > 1:
            leave("another process is lost, or JAX aborts; look at the logs, and run it again")
        libc.signal(number, None)  # SIG_DFL: abort() goes on

    libc = ctypes.CDLL(None)
    _handlers.append(handle)
    libc.signal(signal.SIGABRT, handle)
