"""Joining the processes of a run; a host that never comes has a name."""

import atexit
import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import Any

import jax
from jax._src import distributed

from codex_jax import InputError
from codex_jax.hosts.ending import expect_abort, leave, name_aborts
from codex_jax.hosts.peers import Peers, name_processes, tell_stop
from codex_jax.hosts.watch import START_FACTOR, HostLimits, Watch

_TIMEOUT_S = 300
_SHUTDOWN_S = 60  # in which all end, after the barrier "exit"


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Joins this process to the others, where CODEX_JAX_DISTRIBUTED is set and not 0.

    On TPUs, Slurm, Open MPI and Kubernetes JAX knows the others; elsewhere JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID name them. Where they aren't all there after
    CODEX_JAX_START_TIMEOUT seconds (300), each of the others ends with their names. An error
    that ends the block is told to the others.

    Raises:
      InputError: a variable that is no number, or nothing that names the others.
    """
    if os.environ.get("CODEX_JAX_DISTRIBUTED", "0") in ("", "0"):
        yield
        return
    seconds = _number("CODEX_JAX_START_TIMEOUT") or _TIMEOUT_S
    _join(seconds)
    try:
        _open_devices(seconds)
        yield
    except BaseException as error:
        if not isinstance(error, SystemExit):  # whose reason is told already
            tell_stop(error)
        expect_abort(_status_of(error))
        atexit.register(_shut_down)  # runs before JAX's own, and after the error is printed
        raise


def _status_of(error: BaseException) -> int:
    """Returns the exit status with which an error ends the process."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, InputError | OSError) else 1


def _shut_down() -> None:
    """Waits for the others, who may be gone: then JAX would print a traceback at the exit."""
    state = distributed.global_state
    try:
        jax.distributed.shutdown()
    except RuntimeError:
        state.client = None
        if state.service:
            state.service.shutdown()
            state.service = None


def _join(seconds: int) -> None:
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if address is not None and not re.fullmatch(r".+:\d{1,5}", address):
        raise InputError(
            f"the variable JAX_COORDINATOR_ADDRESS is {address!r:.80}; set it to HOST:PORT"
        )
    numbers = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
    settings: dict[str, Any] = {name: _number(variable) for name, variable in numbers.items()}
    # The service names the absent, before the clients' patience ends.
    settings |= {"initialization_timeout": seconds + 15, "shutdown_timeout_seconds": _SHUTDOWN_S}
    name_aborts()
    with _patient_library(seconds):
        try:
            jax.distributed.initialize(**settings)
        except RuntimeError as error:
            leave(explain(_status() or str(error), seconds))
        except ValueError as error:  # nothing names the others, or two variables contradict
            raise InputError(
                f"the processes can't be joined: {str(error).rstrip('.')}; set "
                "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or "
                "CODEX_JAX_DISTRIBUTED=0"
            ) from None


def _open_devices(seconds: int) -> None:
    """Opens the devices, where JAX waits for all processes: one that is lost by then has a name."""
    state = distributed.global_state  # jax.process_index() would open them
    peers = Peers(state.client, state.process_id, state.num_processes)
    limits = HostLimits(lost_after_s=seconds / START_FACTOR)
    with Watch(limits, peers) as watch, watch.during("the opening of the devices"):
        jax.devices()
        watch.barrier("devices")


def _number(name: str) -> int | None:
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise InputError(f"the variable {name} is {text!r:.40}; set it to a whole number")
    return int(text) if text else None


@contextlib.contextmanager
def _patient_library(seconds: int) -> Iterator[None]:
    """Has JAX's service wait so long for all, and its client raise an error where it would abort.

    `initialize` passes neither argument on. The library can't convert the callback's argument: a
    RuntimeError says so where the client connects, and an abort later.
    """
    library: Any = distributed._jax
    arguments: dict[str, dict[str, Any]] = {
        "get_distributed_runtime_client": {"missed_heartbeat_callback": lambda _: None},
        "get_distributed_runtime_service": {"cluster_register_timeout": seconds},
    }
    former = {name: getattr(library, name) for name in arguments}
    try:
        for name, added in arguments.items():
            setattr(library, name, functools.partial(former[name], **added))
        yield
    finally:
        for name, function in former.items():
            setattr(library, name, function)


def _status() -> str:
    """Returns why JAX's client couldn't connect; it says so only when it is shut down."""
    client = distributed.global_state.client
    try:
        if client:
            client.shutdown()
    except jax.errors.JaxRuntimeError as error:
        return str(error)
    return ""


def explain(status: str, seconds: int) -> str:
    """Returns a sentence for a failure to connect."""
    if match := re.search(r"timed out task names:\s*((?:\d+\s)+)", status):
        absent = name_processes([int(n) for n in match.group(1).split()])
        return f"{absent} didn't start within {seconds} s; look at the logs there"
    if "RegisterTask" in status and ("DEADLINE" in status or "UNAVAILABLE" in status):
        return f"process 0, which coordinates all, didn't start within {seconds} s; look at its log"
    return f"the processes can't be joined: {' '.join(status.split())[:300]}"
