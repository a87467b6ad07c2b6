"""events.jsonl: a line for each stretch of a run, over restarts."""

import json

import pytest

from codex_jax.train.goodput import compute_goodput
from codex_jax.train.run_events import RunEvents, lost_steps, read_events


def write_attempt(folder, start, spans):
    """An attempt that goes on from `start`, and takes these spans of steps in a second each."""
    with RunEvents(folder) as events:
        with events.measure("restore") as fields:
            fields["step"] = start
        events.write_lost_work()
        for first, last in spans:
            events.write("step", 1.0, first=first, last=last, data_wait=0.25)


def names(folder):
    return [event["event"] for event in read_events(folder / "events.jsonl")]


def test_an_attempt_has_a_start_and_an_end(tmp_path):
    write_attempt(tmp_path, 0, [(0, 4)])
    assert names(tmp_path) == ["start", "init", "restore", "step", "end"]
    events = read_events(tmp_path / "events.jsonl")
    assert events[-1]["status"] == "done"
    assert [e["time"] for e in events] == sorted(e["time"] for e in events)


def test_steps_that_are_taken_again_are_lost_work(tmp_path):
    write_attempt(tmp_path, 0, [(0, 3), (4, 7)])
    write_attempt(tmp_path, 6, [(6, 9)])
    lost = [e for e in read_events(tmp_path / "events.jsonl") if e["event"] == "lost_work"]
    assert [(e["steps"], e["lost_seconds"]) for e in lost] == [(2, 0.5)]
    write_attempt(tmp_path, 6, [])
    write_attempt(tmp_path, 6, [])  # an attempt without steps lost none
    assert names(tmp_path).count("lost_work") == 2


def test_an_error_is_the_end_s_status(tmp_path):
    with pytest.raises(ValueError, match="wrong"), RunEvents(tmp_path):
        raise ValueError("wrong")
    assert read_events(tmp_path / "events.jsonl")[-1]["status"] == "ValueError: wrong"


def test_a_torn_line_is_removed_and_others_are_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"time": 1, "event": "start"}\n{"time": 2, "ev')
    write_attempt(tmp_path, 0, [])
    lines = path.read_text().splitlines()
    assert json.loads(lines[1])["event"] == "start"
    path.write_text('[]\n{"time": 1}\nnonsense\n')
    assert read_events(path) == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"time": 1, "event": "end\xff',
        b"\xff\x00" * 8,
        b'{"time": "noon", "event": "end"}',
        b'{"time": 1, "event": ["end"]}',
        b'{"time": 1, "event": "restore"}',
        b'{"time": 1, "event": "save", "seconds": null}',
        b'{"time": 1, "event": "save", "seconds": -5.0}',
        b'{"time": 1, "event": "step", "seconds": 1.0}',
        b'{"time": 1, "event": "step", "first": 1, "last": 3}',
        b'{"time": 1, "event": "step", "seconds": 1.0, "first": 4, "last": 3}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_stops_neither_a_restart_nor_goodput(tmp_path, line):
    write_attempt(tmp_path, 0, [(0, 4)])
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    write_attempt(tmp_path, 5, [(5, 9)])
    assert compute_goodput(read_events(path)).steps == 10


def test_a_run_that_is_over_writes_nothing(tmp_path):
    with RunEvents(tmp_path, is_over=True) as events, events.measure("restore") as fields:
        fields["step"] = 3
    assert not (tmp_path / "events.jsonl").exists()


def test_lost_steps_are_those_of_the_last_restore():
    events = [
        {"event": "restore", "step": 0},
        {"event": "step", "first": 0, "last": 9, "seconds": 10.0},
        {"event": "restore", "step": 5},
        {"event": "step", "first": 5, "last": 7, "seconds": 6.0},
        {"event": "restore", "step": 7},
    ]
    assert lost_steps(events) == {7: 2.0}
    assert lost_steps(events[:3]) == dict.fromkeys(range(5, 10), 1.0)
