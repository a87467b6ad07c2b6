"""Samples of prompts: distinct prompts, those that fit, files that resume."""

import dataclasses
import types

import pytest

from codex_jax import InputError
from codex_jax.records import Completion, Problem, read_jsonl, write_jsonl
from codex_jax.solve import sampling


@pytest.fixture
def sampler(tmp_path, monkeypatch):
    calls = []

    def generate(*, problems, output, **settings):
        rows = [problem.task_id for problem in read_jsonl(problems, Problem)]
        calls.append((rows, settings))
        completions = [
            Completion(task_id=row, completion=f"{row}{i}", sample_index=i)
            for i in (1, 0)
            for row in rows
        ]
        write_jsonl(output, completions)

    card = types.SimpleNamespace(model={"max_length": 12})
    monkeypatch.setattr(sampling, "generate", generate)
    monkeypatch.setattr(sampling, "read_card", lambda *_: card)
    monkeypatch.setattr(sampling.Tokenizer, "load", lambda _: None)
    monkeypatch.setattr(sampling, "read_ends", lambda *_: types.SimpleNamespace(begin_ids=(0,)))
    monkeypatch.setattr(
        sampling, "encode_prompt", lambda _, text, __, begin_ids: [*begin_ids, *text]
    )
    settings = {"seed": 3, "samples_per_problem": 2}
    sampler = sampling.Sampler(tmp_path, "checkpoint", "tokenizer.json", 4, settings)
    return types.SimpleNamespace(sampler=sampler, calls=calls)


def test_each_prompt_is_sampled_once_and_samples_are_in_order(sampler):
    samples = sampler.sampler.sample(["ab", "c", "ab"], "windows")
    assert {prompt: [s.completion for s in group] for prompt, group in samples.items()} == {
        "ab": ["ab0", "ab1"],
        "c": ["c0", "c1"],
    }
    ((rows, settings),) = sampler.calls
    assert rows == ["ab", "c"]
    assert settings["max_new_tokens"] == 4
    assert settings["seed"] == 3


def test_samples_that_an_earlier_run_had_more_of_are_passed_over(sampler):
    """Else the same settings would give other results in a folder that had more samples."""
    settings = {**sampler.sampler.settings, "samples_per_problem": 1}
    fewer = dataclasses.replace(sampler.sampler, settings=settings)
    assert [s.completion for s in fewer.sample(["ab"], "windows")["ab"]] == ["ab0"]


def test_prompts_that_leave_no_room_for_a_sample_are_absent(sampler):
    assert sampler.sampler.longest_prompt == 8
    assert sampler.sampler.count_tokens("1234567") == 8
    assert list(sampler.sampler.sample(["1234567", "12345678"], "windows")) == ["1234567"]


def test_without_prompts_nothing_is_sampled(sampler):
    assert sampler.sampler.sample(["too long a prompt"], "whole") == {}
    assert sampler.sampler.sample([], "whole") == {}
    assert sampler.calls == []


def test_samples_that_leave_no_room_for_any_prompt_are_refused(sampler):
    longer = dataclasses.replace(sampler.sampler, max_new_tokens=12)
    with pytest.raises(InputError, match=r"max_new_tokens is 12, .*set max_new_tokens to fewer"):
        longer.sample(["a"], "windows")
