"""Goodput: the wall time of a run by cause, over restarts; it adds up."""

import json
import random

import pytest

from codex_jax.main import cli
from codex_jax.train.goodput import CAUSES, compute_goodput, to_table


def events_of(*attempts):
    """Events of attempts: (start time, first step, [(event, seconds, fields)])."""
    events = []
    for start, step, stretches in attempts:
        now = start
        events.append({"time": now, "event": "start"})
        for event, seconds, fields in [("restore", 1.0, {"step": step}), *stretches]:
            now += seconds
            events.append({"time": now, "event": event, "seconds": seconds, **fields})
    return events


def steps(first, last, seconds, data_wait=0.0):
    return ("step", seconds, {"first": first, "last": last, "data_wait": data_wait})


def test_known_answer_of_a_restart():
    first = (0.0, 0, [("compile", 4.0, {}), steps(0, 9, 20.0, 2.0), ("save", 3.0, {"step": 10})])
    first[2].append(steps(10, 14, 10.0))
    second = (100.0, 10, [steps(10, 19, 20.0), ("evaluate", 5.0, {})])
    result = compute_goodput(events_of(first, second))
    assert result.wall == 126.0
    assert result.productive == 18.0 + 20.0
    assert result.badput == {
        "init": 0.0,
        "restore": 2.0,
        "compile": 4.0,
        "data_wait": 2.0,
        "save": 3.0,
        "evaluate": 5.0,
        "lost_work": 10.0,
        "down": 100.0 - 38.0,
        "other": 0.0,
    }
    assert (result.attempts, result.steps, result.lost_steps) == (2, 20, 5)


def test_the_causes_sum_to_the_wall_time():
    chance = random.Random(5)
    for _ in range(50):
        now, attempts = 0.0, []
        for _ in range(chance.randint(1, 5)):
            now += chance.random() * 100
            first = chance.randint(0, 20)
            spans = [(first + 5 * n, first + 5 * n + 4) for n in range(chance.randint(0, 4))]
            taken = [steps(*span, chance.random() * 9 + 1, chance.random()) for span in spans]
            taken.insert(chance.randint(0, len(taken)), ("save", chance.random(), {"step": 1}))
            attempts.append((now, first, taken))
            now += 50
        result = compute_goodput(events_of(*attempts))
        assert result.productive + sum(result.badput.values()) == pytest.approx(result.wall)
        assert result.badput.keys() == CAUSES.keys()


def test_a_step_that_was_lost_twice_counts_for_each_attempt():
    attempts = [(0.0, 0, [steps(0, 9, 10.0)]), (20.0, 5, [steps(5, 9, 5.0)]), (40.0, 0, [])]
    result = compute_goodput(events_of(*attempts))
    assert result.badput["lost_work"] == 15.0
    assert (result.productive, result.steps, result.lost_steps) == (0.0, 0, 15)


@pytest.fixture
def run_folder(tmp_path):
    """The folder of a run of one attempt."""
    lines = events_of((0.0, 0, [steps(0, 1, 9.0)]))
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_the_command_prints_a_table_or_json(run_folder, capsys):
    assert cli.main(["goodput", str(run_folder)]) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split()[:4] == ["goodput", "9.0", "s", "90.0%"]
    assert {line.split()[0] for line in table.splitlines()} >= set(CAUSES)
    assert cli.main(["goodput", f"--run={run_folder}", "--as_json"]) == 0
    assert json.loads(capsys.readouterr().out)["goodput"] == 0.9


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), ("{}\n", "no start")])
def test_what_is_no_run_is_refused(tmp_path, capsys, content, message):
    if content:
        (tmp_path / "events.jsonl").write_text(content)
    assert cli.main(["goodput", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b"], "run is 'a' and 'b'; set it once"),
        (["--run=a", "b"], "run is 'a' and 'b'; set it once"),
        (["--run="], "run is empty; set it to a path"),
        (["~/run"], "whose ~ the shell left"),
    ],
)
def test_a_run_is_named_once(capsys, words, message):
    assert cli.main(["goodput", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("starts", [(0.0, -500.0), (1000.0, 0.0), (0.0, 0.0), (5.0, 4.0)])
def test_clocks_that_are_set_back_take_nothing_away(starts):
    events = events_of(*((start, 0, [steps(0, 1, 9.0)]) for start in starts))
    result = compute_goodput(events)
    assert min(result.productive, *result.badput.values()) >= 0
    assert result.wall == pytest.approx(result.productive + sum(result.badput.values()))
    assert result.wall == pytest.approx(20.0, abs=5)


def test_the_table_has_a_meaning_for_each_cause():
    result = compute_goodput(events_of((0.0, 0, [])))
    assert all(meaning in to_table(result) for meaning in CAUSES.values())
