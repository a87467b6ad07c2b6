"""Several hosts fill one file: byte for byte as one host does, whatever is killed."""

import gzip
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.records import Completion
from codex_jax.sample import shared_completions
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.shared_completions import SharedCompletions, sort_lines

_ROOT = pathlib.Path(__file__).parents[2]
_RUN = """
import sys, time
import jax

index, count, address, delay, seconds = sys.argv[2:]
jax.distributed.initialize(address, int(count), int(index))
from codex_jax.sample import shared_completions
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.params import SamplingParams

shared_completions.SHARED_WITHIN_SECONDS = float(seconds)
append = shared_completions.SharedCompletions.append
def slow(self, line):
    append(self, line)
    self.flush()
    time.sleep(float(delay))
if float(delay):
    shared_completions.SharedCompletions.append = slow
arguments = eval(sys.argv[1])
try:
    print(generate(**arguments, sampling_params=SamplingParams(temperature=1.0)))
except Exception as error:
    print(type(error).__name__, error, flush=True)
    raise
"""


def free_address() -> str:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return f"localhost:{listening.getsockname()[1]}"


def start(arguments, outputs, delay=0.0, seconds=180.0) -> list[subprocess.Popen]:
    """A process for each output."""
    address = free_address()
    plain = {k: v for k, v in arguments.items() if k != "sampling_params"}
    environment = os.environ | {"JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
    processes = []
    for index, output in enumerate(outputs):
        words = [repr(plain | {"output": str(output)}), index, len(outputs), address]
        command = [sys.executable, "-c", _RUN, *map(str, words), str(delay), str(seconds)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, env=environment, cwd=_ROOT, text=True, **pipes)
        processes.append(process)
    return processes


def finish(processes) -> list[tuple[int, str]]:
    """(Exit status, lines on stdout) of each."""
    texts = [process.communicate() for process in processes]
    assert all(process.returncode is not None for process in processes)
    return [
        (p.returncode, out.strip().rpartition("\n")[2] or err[-2000:])
        for p, (out, err) in zip(processes, texts, strict=True)
    ]


@pytest.fixture(scope="module")
def expected(trained, tmp_path_factory):
    """Bytes that one host writes."""
    output = tmp_path_factory.mktemp("one") / "completions.jsonl"
    assert generate(**trained, output=str(output)) == 18
    return output.read_bytes()


def test_one_host_s_finished_file_is_in_the_order_of_the_problems(expected):
    keys = [(row["task_id"], row["sample_index"]) for row in map(json.loads, expected.splitlines())]
    assert keys == [(f"t/{n}", index) for n in range(6) for index in range(3)]


@pytest.mark.slow
def test_two_hosts_write_what_one_does(trained, expected, tmp_path):
    output = tmp_path / "completions.jsonl"
    assert finish(start(trained, [output] * 2)) == [(0, "18")] * 2
    assert output.read_bytes() == expected
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"completions.jsonl", "completions.jsonl.job.json"}
    assert finish(start(trained, [output] * 2)) == [(0, "18")] * 2
    assert output.read_bytes() == expected


@pytest.mark.slow
def test_lost_hosts_shares_are_done_by_others(trained, expected, tmp_path):
    output = tmp_path / "completions.jsonl"
    parts = [tmp_path / f"completions.jsonl.part-{n}.jsonl" for n in range(4)]
    processes = start(trained, [output] * 4, delay=0.5)
    end = time.monotonic() + 300
    while time.monotonic() < end and not all(p.exists() and p.stat().st_size for p in parts):
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.02)
    for process in (processes[2], *processes):
        process.send_signal(signal.SIGKILL)
    finish(processes)
    kept = sum(part.read_bytes().count(b"\n") for part in parts)
    assert kept >= 4
    with parts[3].open("ab") as out:
        out.write(b'{"task_id": "t/')  # torn
    assert finish(start(trained, [output] * 2)) == [(0, "18")] * 2
    assert output.read_bytes() == expected
    assert not list(tmp_path.glob("*.part-*"))


@pytest.mark.slow
def test_two_hosts_share_a_bucket(trained, expected, bucket):
    output = "gs://bucket/run/completions.jsonl"
    assert finish(start(trained, [output] * 2)) == [(0, "18")] * 2
    assert bucket.objects["run/completions.jsonl"].content == expected
    names = {"run/completions.jsonl", "run/completions.jsonl.job.json"}
    assert set(bucket.objects) == names


def test_one_host_and_a_bucket(trained, expected, bucket):
    output = "gs://bucket/run/completions.jsonl"
    assert generate(**trained | {"samples_per_problem": 2}, output=output) == 12
    assert generate(**trained, output=output) == 18
    rows = [json.loads(row) for row in bucket.objects["run/completions.jsonl"].content.splitlines()]
    texts = [json.loads(row)["completion"] for row in expected.splitlines()]
    assert [row["completion"] for row in rows] == texts
    with pytest.raises(InputError, match="another run"):
        generate(**trained, output=output, seed=1)


@pytest.mark.slow
def test_folders_that_aren_t_shared_are_refused(trained, tmp_path):
    outputs = [tmp_path / f"{n}" / "completions.jsonl" for n in range(2)]
    (tmp_path / "0").mkdir()
    single = trained | {"samples_per_problem": 1}
    generate(**single, output=str(outputs[0]))
    for status, line in finish(start(single, outputs, seconds=1.0)):
        assert status == 1
        assert line.startswith(f"InputError {outputs[1]} has other samples here")
        assert "set output to a folder that all hosts share" in line


@pytest.mark.parametrize("name", ["seed", "problems"])
def test_hosts_that_sample_different_runs_are_refused(tmp_path, monkeypatch, name):
    manifest = {"seed": 0, "problems": {f"t/{n}": n for n in range(50)}}
    other = manifest | {name: 1}
    texts = []
    monkeypatch.setattr(shared_completions, "exchange", lambda _, text: texts.append(text))
    for table in (manifest, other):
        with pytest.raises(TypeError):
            SharedCompletions("x.jsonl", table).__enter__()
    assert max(map(len, texts)) < 200
    monkeypatch.setattr(shared_completions, "exchange", lambda *_: [texts[0], *texts])
    file = SharedCompletions(str(tmp_path / "x.jsonl"), manifest)
    with pytest.raises(InputError, match=f"don't agree: {name} is .* on host 0, 1 on host 2; set"):
        file.__enter__()
    assert list(tmp_path.iterdir()) == []


def test_parts_of_a_killed_run_are_taken_in_by_one_host(tmp_path):
    output = tmp_path / "out.jsonl"
    for index in range(3):
        with shared_completions.CompletionsFile(f"{output}.part-{index}.jsonl", {"a": 1}) as part:
            part.append(Completion(task_id=f"t/{2 - index}", completion="x", sample_index=0))
    requests = [Request(f"t/{n}", (1,), range(1), SamplingParams(), 0, 1, ()) for n in range(3)]
    with SharedCompletions(str(output), {"a": 1}) as file:
        assert file.done == {(f"t/{n}", 0) for n in range(3)}
        assert file.finish(requests) == 3
    assert [json.loads(row)["task_id"] for row in output.read_text().splitlines()] == [
        "t/0",
        "t/1",
        "t/2",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"out.jsonl", "out.jsonl.job.json"}


def test_parts_of_another_run_are_refused(tmp_path):
    output = tmp_path / "out.jsonl"
    with shared_completions.CompletionsFile(f"{output}.part-0.jsonl", {"seed": 1}) as part:
        part.append(Completion(task_id="t/0", completion="x"))
    with pytest.raises(InputError, match="samples of another run"):
        SharedCompletions(str(output), {"seed": 2}).__enter__()


@settings(max_examples=100)
@given(
    counts=st.lists(st.integers(0, 5), max_size=8), hosts=st.integers(1, 9), start=st.integers(0, 3)
)
def test_shares_are_disjoint_complete_and_even(counts, hosts, start):
    requests = [
        Request(f"t/{n}", (1,), range(start, start + count), SamplingParams(), 0, 1, ())
        for n, count in enumerate(counts)
        if count
    ]
    file = SharedCompletions("out.jsonl", {})
    file._count, shares = hosts, []
    for file._index in range(hosts):
        shares.append([(r.id, index) for r in file.deal(requests) for index in r.samples])
    assert list(itertools.chain(*shares)) == [
        (r.id, index) for r in requests for index in r.samples
    ]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_sort_lines(tmp_path, suffix):
    path = tmp_path / f"out.jsonl{suffix}"
    rows = [{"task_id": name, "sample_index": n} for name, n in (("b", 0), ("x", 0), ("a", 1))]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if suffix else content)
    order = [("a", 0), ("a", 1), ("b", 0)]
    sort_lines(path, order)
    text = gzip.decompress(path.read_bytes()) if suffix else path.read_bytes()
    assert [json.loads(row)["task_id"] for row in text.splitlines()] == ["a", "b", "x"]
    before = path.stat().st_mtime_ns
    sort_lines(path, order)
    assert path.stat().st_mtime_ns == before
