"""Joining: variables of the environment, and sentences for what keeps a run from starting."""

import os
import subprocess
import sys

import jax
import pytest
from jax._src import distributed

from codex_jax import InputError
from codex_jax.hosts import joining
from codex_jax.hosts.joining import explain, joined

STATUS = """FAILED_PRECONDITION: Shutdown() was called while coordination agent is in error state.
Agent status: DEADLINE_EXCEEDED: Barrier timed out. Id: [Init]Wait_for_all_tasks_to_register::0.
# of tasks that reached the barrier: 2/4.
The first task at the barrier: 0. Some timed out task names:
2
3


RPC: /xla.coordination.CoordinationService/RegisterTask"""


def test_absent_processes_are_named():
    assert explain(STATUS, 60) == (
        "processes 2 and 3 didn't start within 60 s; look at the logs there"
    )


def test_an_absent_coordinator_is_named():
    status = "DEADLINE_EXCEEDED: Deadline Exceeded\n\nRPC: /xla.CoordinationService/RegisterTask"
    assert explain(status, 60).startswith("process 0, which coordinates all, didn't start")


def test_another_failure_is_quoted():
    assert explain("INTERNAL: a\nb", 60) == "the processes can't be joined: INTERNAL: a b"


@pytest.mark.parametrize("value", ["", "0"])
def test_one_process_joins_nothing(monkeypatch, value):
    monkeypatch.setenv("CODEX_JAX_DISTRIBUTED", value)
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **words: calls.append(words))
    with joined():
        assert not jax.distributed.is_initialized()
    assert calls == []


@pytest.fixture
def initialized(monkeypatch):
    """The arguments with which JAX joins, and with which its library is called."""
    seen = {}

    def client(*_words, **arguments):
        seen["client"] = arguments

    def initialize(**arguments):
        seen["initialize"] = arguments
        distributed._jax.get_distributed_runtime_client("address", 1)

    monkeypatch.setattr(distributed._jax, "get_distributed_runtime_client", client)
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(joining, "name_aborts", lambda: None)
    monkeypatch.setenv("CODEX_JAX_DISTRIBUTED", "1")
    seen["former"] = client
    return seen


def test_the_environment_names_the_processes(monkeypatch, initialized):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    monkeypatch.setenv("CODEX_JAX_START_TIMEOUT", "7")
    with joined():
        pass
    arguments = initialized["initialize"]
    assert (arguments["num_processes"], arguments["process_id"]) == (4, 0)
    assert arguments["initialization_timeout"] > 7
    assert "missed_heartbeat_callback" in initialized["client"]
    assert distributed._jax.get_distributed_runtime_client is initialized["former"]


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (InputError("rows: no such folder"), ["rows: no such folder"], 2),
        (OSError("disk"), ["disk"], 2),
        (KeyboardInterrupt("Ctrl-C"), ["Ctrl-C"], 130),
        (RuntimeError("a bug"), ["a bug"], 1),
        (SystemExit(75), [], 75),
    ],
)
def test_an_error_is_told(monkeypatch, initialized, error, told, status):
    seen = []
    monkeypatch.setattr(joining, "tell_stop", seen.append)
    monkeypatch.setattr(joining, "expect_abort", seen.append)
    monkeypatch.setattr(joining.atexit, "register", lambda function: function())
    monkeypatch.setattr(jax.distributed, "shutdown", lambda: seen.append("shut down"))
    with pytest.raises(type(error)), joined():
        raise error
    assert [str(each) for each in seen] == [*told, str(status), "shut down"]
    assert initialized["initialize"]["num_processes"] is None


@pytest.mark.parametrize("name", ["JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "CODEX_JAX_START_TIMEOUT"])
def test_a_variable_that_is_no_number_is_refused(monkeypatch, initialized, name):
    monkeypatch.setenv(name, "four")
    with pytest.raises(InputError, match=f"the variable {name} is 'four'; set it to"), joined():
        pytest.fail(f"joined with {initialized}")


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", ":1", "localhost:http"])
def test_an_address_without_host_or_port_is_refused(monkeypatch, initialized, address):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", address)
    with pytest.raises(InputError, match=f"is '{address}'; set it to HOST:PORT"), joined():
        pytest.fail(f"joined with {initialized}")


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({}, "coordinator_address should be defined"),
        ({"JAX_COORDINATOR_ADDRESS": "localhost:1"}, "umber of processes must be defined"),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "localhost:1",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "2",
            },
            "process_id < num_processes",
        ),
    ],
)
def test_variables_that_name_no_run_are_refused_in_a_line(variables, fault):
    usual = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "SLURM_", "OMPI_"))}
    script = "from codex_jax.hosts import joined\nwith joined(): print('in')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=usual | {"CODEX_JAX_DISTRIBUTED": "1", "JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("codex_jax.InputError: the processes can't be joined: ")
    assert fault in last
    assert last.endswith("or CODEX_JAX_DISTRIBUTED=0")
    assert done.stdout == ""
