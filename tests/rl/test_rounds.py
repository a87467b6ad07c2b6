"""Rejection rounds from end to end on random weights: files, resumes, other settings refused."""

import dataclasses
import inspect
import json
import pathlib

import pytest

from codex_jax import InputError, checkpoint
from codex_jax.records import Completion, read_jsonl, write_jsonl
from codex_jax.rl import rounds
from codex_jax.rl.keep import Keep
from codex_jax.rl.rounds import run_rounds
from codex_jax.train.compute import Compute
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer
from tests.rl.conftest import make_problem, make_problems


@pytest.fixture
def arguments(settings, tmp_path):
    """Rounds whose every sample is right: it stands behind a #, and ends at its length or not."""
    held_out = {f"h/{n}": make_problem(n, task_id=f"h/{n}") for n in (20, 21)}
    write_jsonl(tmp_path / "held_out.jsonl", held_out.values())
    write_jsonl(tmp_path / "problems.jsonl", make_problems(12).values())
    names = ("problems", "tokenizer", "init_from", "sampling_params", "sandbox")
    return {name: settings[name] for name in names} | {
        "held_out": str(tmp_path / "held_out.jsonl"),
        "output": str(tmp_path / "rounds"),
        "rounds": 1,
        "steps": 2,
        "samples_per_problem": 4,
        "held_out_samples": 2,
        "max_new_tokens": 8,
        "stops": ("\n",),
        "sampler_rows": 8,
        "batch_size": 8,
        "sequence_length": 32,
        "optimizer": Optimizer(warmup_steps=1),
        "keep": Keep(easy_rate=0.5),
    }


def test_a_round_leaves_its_files_and_a_second_run_goes_on(arguments, monkeypatch):
    calls = []
    original = rounds.train

    def interrupted(**settings):
        calls.append(settings["checkpoint_dir"])
        if len(calls) == 1:
            raise KeyboardInterrupt
        return original(**settings)

    monkeypatch.setattr(rounds, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_rounds(**arguments)
    folder = pathlib.Path(arguments["output"])
    sampled = (folder / "round-1" / "completions.jsonl").read_bytes()
    first, second = run_rounds(**arguments)
    assert (folder / "round-1" / "completions.jsonl").read_bytes() == sampled
    assert (first["round"], second["round"]) == (0, 1)
    examples = list(read_jsonl(folder / "round-1" / "kept.jsonl", Completion))
    assert second["kept"] == len(examples) > 0
    assert {sample.extra["weight"] for sample in examples} <= {0.2, 1.0}
    for report in (first, second):
        assert report["pass_at_k"]["1"]["mean"] == report["shadow_pass_at_k"]["1"]["mean"]
    assert checkpoint.latest_step(folder / "round-1" / "checkpoint") == 2
    assert json.loads((folder / "round-1" / "report.json").read_text()) == second
    report = folder / "round-1" / "report.json"
    for text in (report.read_text()[:-9], "[]"):  # torn, or somebody's: it is written anew
        report.write_text(text)
        assert run_rounds(**arguments) == [first, second]
    assert json.loads(report.read_text()) == second
    del calls[2:]
    assert run_rounds(**arguments) == [first, second]
    assert len(calls) == 2  # a finished round isn't touched again
    with pytest.raises(InputError, match=r"rounds with another steps .2, set now: 3."):
        run_rounds(**arguments | {"steps": 3})
    with pytest.raises(InputError, match=r"another optimizer\.warmup_steps .1, set now: 0."):
        run_rounds(**arguments | {"optimizer": Optimizer(warmup_steps=0)})


def test_accumulated_rounds_sample_only_what_no_round_before_solved(arguments, monkeypatch):
    original = rounds.keep_samples
    monkeypatch.setattr(rounds, "keep_samples", lambda *a, **b: original(*a, **b)[::2])
    write_jsonl(arguments["problems"], make_problems(20).values())
    arguments |= {"accumulate": True, "rounds": 3, "samples_per_problem": 1, "steps": (2, 3)}
    arguments |= {"keep": Keep(easy_rate=1.0, unsolved_factor=3.0)}
    reports = run_rounds(**arguments)
    folders = [pathlib.Path(arguments["output"]) / f"round-{number}" for number in (1, 2, 3)]
    unsolved, former = set(make_problems(20)), []
    for folder, report in zip(folders, reports[1:], strict=True):
        sampled = {s.task_id for s in read_jsonl(folder / "completions.jsonl", Completion)}
        kept = list(read_jsonl(folder / "kept.jsonl", Completion))
        assert sampled == unsolved
        assert (report["samples"], report["kept"]) == (len(sampled), len(kept))
        assert kept[: len(former)] == former
        weights = {sample.extra["weight"] for sample in kept[len(former) :]}
        assert weights == {3.0 ** (report["round"] - 1)}
        unsolved -= {sample.task_id for sample in kept}
        former = kept
    assert 0 < len(unsolved) < 20  # half of the rest is kept in each round
    trained = [checkpoint.latest_step(folder / "checkpoint") for folder in folders]
    assert trained == [2, 3, 3]


def test_accumulated_rounds_without_an_unsolved_problem_train_on_what_they_have(arguments):
    arguments |= {"accumulate": True, "samples_per_problem": 40}
    _, first = run_rounds(**arguments)
    _, again, second = run_rounds(**arguments | {"rounds": 2})
    assert again == first
    assert (second["samples"], second["kept"]) == (0, first["kept"])
    assert checkpoint.latest_step(pathlib.Path(arguments["output"], "round-2", "checkpoint")) == 2


def test_each_setting_that_training_has_too_reaches_it(arguments, monkeypatch):
    """Precision once was checked, and then not handed over."""
    calls = []
    monkeypatch.setattr(rounds, "train", lambda **settings: calls.append(settings) or interrupt())
    arguments |= {"compute": Compute(dtype="bfloat16"), "seed": 5}
    write_jsonl(arguments["problems"], make_problems(20).values())
    with pytest.raises(KeyboardInterrupt):
        run_rounds(**arguments)
    shared = inspect.signature(run_rounds).parameters.keys()
    shared &= inspect.signature(train).parameters.keys()
    assert shared == {"init_from", "steps", "optimizer", "compute", "seed"}
    assert {name: calls[0][name] for name in shared} == {name: arguments[name] for name in shared}


def test_unusable_input_is_refused_before_anything_is_sampled(arguments, tmp_path):
    single = make_problem(0, test="def check(c):\n    assert c(1) == 1\n")
    write_jsonl(tmp_path / "single.jsonl", [single])
    write_jsonl(tmp_path / "same.jsonl", make_problems(1).values())
    faulty = [
        ("held_out", str(tmp_path / "same.jsonl"), "t/0 of held_out has the prompt of t/0"),
        ("problems", str(tmp_path / "single.jsonl"), "its test has 1 cases"),
        ("rounds", 0, r"rl\.rounds\.rounds is 0"),
        ("keep", dataclasses.replace(Keep(), easy_rate=2.0), r"Keep\.easy_rate is 2"),
        ("keep", Keep(unsolved_factor=0.5), r"Keep\.unsolved_factor is 0\.5"),
        ("keep", Keep(unsolved_factor=2.0), r"Keep\.unsolved_factor is 2, .* set accumulate"),
        ("steps", (2, 1), r"Optimizer\.warmup_steps is 1; expected fewer than steps .1."),
        ("optimizer", Optimizer(learning_rate=-1.0), r"Optimizer\.learning_rate is -1"),
        ("compute", Compute(microbatches=3), r"batch_size 8 is not a multiple of"),
        ("sequence_length", 65, r"rows have 65 tokens, DecoderConfig\.max_length is 64"),
    ]
    for steps in ([], 0, (2, 0), "many", 2.5):
        with pytest.raises(InputError, match=r"rl\.rounds\.steps is .*; set it to a whole number"):
            run_rounds(**arguments | {"steps": steps})
    many = arguments | {"accumulate": True, "rounds": 1000, "keep": Keep(unsolved_factor=2.0)}
    with pytest.raises(InputError, match=r"in 1000 rounds makes weights above 1e\+06; set it, or"):
        run_rounds(**many)
    for number, (name, value, message) in enumerate(faulty):
        folder = tmp_path / f"faulty-{number}"
        with pytest.raises(InputError, match=message):
            run_rounds(**arguments | {"output": str(folder), name: value})
        assert not folder.exists()


def test_input_that_changed_since_the_first_round_is_refused(arguments, tmp_path, monkeypatch):
    """Finished rounds stay as they are, so later ones would be measured on other problems."""
    monkeypatch.setattr(rounds, "_measure", interrupt)
    folder = tmp_path / "rounds"
    with pytest.raises(KeyboardInterrupt):
        run_rounds(**arguments)
    (folder / "cases" / "problems.jsonl").unlink()
    with pytest.raises(KeyboardInterrupt):  # killed while it wrote them: it writes them anew
        run_rounds(**arguments)
    write_jsonl(tmp_path / "held_out.jsonl", [make_problem(22, task_id="h/22")])
    with pytest.raises(InputError, match="rounds with another content of held_out"):
        run_rounds(**arguments)


def interrupt(*_):
    raise KeyboardInterrupt
