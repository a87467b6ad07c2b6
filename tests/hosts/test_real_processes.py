"""Real processes, two and four: hosts that differ, never come, stop, or are killed, each named."""

import signal

import pytest

from codex_jax.hosts import LOST_STATUS


def sentence(log):
    """The last line that a process wrote."""
    return log.rstrip().splitlines()[-1]


@pytest.mark.parametrize(
    ("sabotage", "named"),
    [
        (
            {
                1: {"settings": {"seed": 1}},
                2: {"settings": {"learning_rate": 0.5}},
                3: {"rows": "other"},
            },
            (
                "process 1: run.seed is 1, not 0; ",
                "process 2: run.optimizer.learning_rate is 0.5, not 0.01; ",
                "process 3: data_fingerprint is 'other', not 'counting'; ",
            ),
        ),
        (
            {1: {"batch_size": 32}, 2: {"steps": 9}, 3: {"code": "edited"}},
            (
                "process 1: run.batch_size is 32, not 16; ",
                "process 2: run.steps is 9, not 8; ",
                "process 3: code is 'edited', not ",
            ),
        ),
    ],
)
def test_hosts_that_differ_are_named_by_all(processes, sabotage, named):
    processes.start(4, sabotage=sabotage)
    for status, log in processes.finish().values():
        assert status == 2
        assert "the hosts don't agree; unlike process 0, process 1: " in sentence(log)
        assert all(part in sentence(log) for part in named), sentence(log)
    assert not (processes.folder / "run" / "metrics.jsonl").exists()


def test_a_host_that_never_starts_is_named(processes):
    environment = {"CODEX_JAX_START_TIMEOUT": "25"}
    faults = {n: {"environment": environment} for n in (0, 2)}
    processes.start(3, absent=[1], sabotage=faults)
    for status, log in processes.finish().values():
        assert status == LOST_STATUS
        assert "process 1 didn't start within 25 s" in sentence(log)


def test_without_its_coordinator_a_host_says_so(processes):
    processes.start(2, absent=[0], sabotage={1: {"environment": {"CODEX_JAX_START_TIMEOUT": "2"}}})
    status, log = processes.finish()[1]
    assert status == LOST_STATUS
    assert "process 1: process 0, which coordinates all, didn't start" in sentence(log)


@pytest.mark.slow
def test_a_host_that_is_lost_before_it_opens_its_devices_is_named(processes):
    environment = {"CODEX_JAX_START_TIMEOUT": "25"}  # with 5 s to be lost
    faults = {n: {"environment": environment} for n in (0, 1)}
    faults[1] |= {"kill_after": 2.0}
    processes.start(2, sabotage=faults)
    status, log = processes.finish()[0]
    assert status == LOST_STATUS
    line = sentence(log)
    assert "no sign of life for 5 s, during the opening of the devices: process 1 (" in line, line


def test_a_folder_of_its_own_is_found_before_training(processes):
    own = {"folder": str(processes.folder / "own")}
    processes.start(2, sabotage={1: own}, limits={"lost_after_s": 20.0})
    for status, log in processes.finish().values():
        assert status == 2
        assert "isn't the same folder on all hosts: process 1 can't see" in sentence(log)
    assert not (processes.folder / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_host_is_named(processes, victim):
    processes.start(2, sabotage={victim: {"kill_at": 4}}, limits={"lost_after_s": 20.0})
    ended = processes.finish()
    assert ended[victim][0] == -signal.SIGKILL
    status, log = ended[1 - victim]
    assert status == LOST_STATUS, log
    assert f"process {victim}" in sentence(log)
    assert "stacks of all threads:" in log


@pytest.mark.slow
def test_a_stopped_host_is_named_and_ends_when_it_goes_on(processes):
    processes.start(2, sabotage={1: {"stop_at": 4}}, limits={"lost_after_s": 20.0})
    processes.running[0].wait(900)
    processes.running[1].send_signal(signal.SIGCONT)
    ended = processes.finish()
    status, log = ended[0]
    assert status == LOST_STATUS, log
    assert "process 1 (" in sentence(log), sentence(log)
    assert ended[1][0] == LOST_STATUS
    assert "process 0, which coordinates all," in sentence(ended[1][1])


def test_a_slow_step_is_named_and_an_error_is_told_by_the_others(processes):
    faults = {1: {"pause_at": 10, "pause": 30.0, "fail": 11}}
    limits = {"slow_factor": 2.0, "lost_after_s": 60.0}
    processes.start(2, steps=20, sabotage=faults, limits=limits)
    ended = processes.finish()
    assert ended[1][0] == 2
    assert "codex-jax train: a shelf fell down; set it upright\n" in ended[1][1]
    status, log = ended[0]
    assert status == LOST_STATUS
    assert sentence(log).endswith(
        "process 1 stopped, and with it the run: a shelf fell down; set it upright"
    )
    assert "step 10 takes " in log
    assert "× the median of" in log
    assert "process 1 (the batch of step 10)" in log
