"""Commands for one host of several run there; the other hosts wait for their end."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import pytest

import codex_jax.hosts
from codex_jax import InputError
from codex_jax.main import commands, first_host
from tests.sample.test_shared_completions import free_address


@pytest.fixture
def hosts(monkeypatch):
    """Sets this process's index among two; returns the subjects and texts of its exchanges."""
    texts = []

    def exchange(subject, text):
        texts.append((subject, text))
        return [texts[0][1], text]  # what host 0 said, which runs first

    def set_index(index):
        monkeypatch.setattr(jax, "process_index", lambda: index)
        monkeypatch.setattr(jax, "process_count", lambda: 2)
        monkeypatch.setattr(codex_jax.hosts, "exchange", exchange)
        return texts

    return set_index


def run(name, act=lambda: 7):
    return first_host.run_on_hosts(commands.COMMANDS[name], act)


def test_a_host_alone_runs_everything():
    assert [run(name) for name in commands.COMMANDS] == [7] * len(commands.COMMANDS)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", ["train", "sample"])
def test_what_is_for_all_runs_on_each(hosts, index, name):
    assert not hosts(index)
    assert run(name) == 7


@pytest.mark.parametrize("name", ["data build", "evaluate", "curate filter", "tokenizer", "report"])
def test_what_is_for_one_runs_on_host_0(hosts, name, capsys):
    texts = hosts(0)
    assert run(name) == 7
    hosts(1)
    assert run(name) is None
    assert texts == [(f"end of {name}", "done"), (f"end of {name}", "")]
    line = f"codex-jax {name}: host 0 of 2 runs it; host 1 waits\n"
    assert capsys.readouterr().err == line


def test_an_error_of_host_0_ends_the_wait_and_fails_the_others(hosts):
    def fail():
        raise InputError("no such file")

    texts = hosts(0)
    with pytest.raises(InputError, match="no such file"):
        run("evaluate", fail)
    assert texts == [("end of evaluate", "failed")]
    hosts(1)
    with pytest.raises(InputError, match="host 0 stopped: its message says why"):
        run("evaluate")


@pytest.mark.parametrize("name", ["sweep", "quickstart"])
def test_what_starts_other_commands_is_refused(hosts, name):
    hosts(1)
    with pytest.raises(InputError, match="is for one host, and runs on 2; set CODEX_JAX_DIS"):
        run(name)


@pytest.mark.parametrize("value", ["", "0"])
def test_0_means_no(configure, toy, monkeypatch, value):
    monkeypatch.setenv("CODEX_JAX_DISTRIBUTED", value)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **__: pytest.fail("joined"))
    configure().call()
    assert len(toy.CALLS) == 1


@pytest.mark.parametrize("value", ["no", "false", "2", "maybe", " 1"])
def test_only_0_and_1_are_understood(configure, toy, monkeypatch, value):
    monkeypatch.setenv("CODEX_JAX_DISTRIBUTED", value)
    with pytest.raises(InputError, match=f"CODEX_JAX_DISTRIBUTED is '{value}'; set it to 1, or"):
        configure().call()
    assert toy.CALLS == []


def test_commands_have_a_form():
    forms = {row.default for row in dataclasses.fields(commands.Command) if row.name == "hosts"}
    assert forms == {"first"}


def run_two(*words) -> tuple[list[int], list[str]]:
    """Returns the exit statuses and errors of two processes that are one run."""
    command = [sys.executable, "-m", "codex_jax", *words]
    variables = {"CODEX_JAX_DISTRIBUTED": "1", "JAX_NUM_PROCESSES": "2"}
    variables |= {"JAX_COORDINATOR_ADDRESS": free_address(), "XLA_FLAGS": ""}
    running = [
        subprocess.Popen(
            command,
            env=os.environ | variables | {"JAX_PROCESS_ID": str(index)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    errors = [process.communicate()[1] for process in running]
    return [process.returncode for process in running], errors


@pytest.mark.slow
def test_both_processes_fail_where_host_0_does(tmp_path):
    (tmp_path / "thesis").write_text("a stranger's")
    statuses, errors = run_two("curate", "chains", f"--output={tmp_path}")
    assert statuses == [2, 2], errors
    assert "which this command didn't write" in errors[0].splitlines()[-1]
    assert "host 0 stopped: its message says why" in errors[1].splitlines()[-1]


@pytest.mark.slow
def test_two_processes_make_one_set_of_chains(tmp_path):
    output = tmp_path / "chains"
    statuses, errors = run_two("curate", "chains", f"--output={output}", "--train_chains=5")
    assert statuses == [0, 0], errors
    assert "host 0 of 2 runs it; host 1 waits" in errors[1]
    rows = (output / "chains-train.jsonl").read_text().splitlines()
    assert len({json.loads(row)["task_id"] for row in rows}) == len(rows) > 0
