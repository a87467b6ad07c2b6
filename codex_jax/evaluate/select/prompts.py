"""All that a selection may see: prompts and samples, without tests, references and verdicts."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from codex_jax import InputError, records
from codex_jax.evaluate.metrics.mbr_exec import generate_inputs
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.select.examples import Example, read_examples

_OF_SAMPLES = ("solution", "reviewer_logprob")  # fields of `extra` that a selection reads


class Prompt(NamedTuple):
    """A prompt, the function that it asks for, and what follows the completion.

    Attributes:
      entry_point: name of the function; "" if programs can't be called from Python.
    """

    task_id: str
    text: str
    entry_point: str
    suffix: str = ""

    def program(self, sample: records.Completion) -> str:
        """Returns the text of a sample's program."""
        is_program = sample.extra.get("solution") is True
        return formats.program(self._problem(), sample.completion, is_program=is_program)

    def _problem(self) -> records.Problem:
        extra = {"suffix": self.suffix} if self.suffix else {}
        return records.Problem(
            task_id=self.task_id, prompt=self.text, entry_point=self.entry_point, extra=extra
        )

    def examples(self) -> list[Example]:
        """Returns the examples that the prompt shows."""
        return read_examples(self.text, self.entry_point) if self.entry_point else []

    def inputs(self, count: int) -> list[list[Any]]:
        """Returns argument lists: of the examples, then mutations; a larger count only adds."""
        if not self.entry_point:
            return []
        seeds = [example.arguments for example in self.examples()]
        return generate_inputs(self._problem(), count=count, seeds=seeds)


def read_prompts(problems: Iterable[records.Problem]) -> dict[str, Prompt]:
    """Returns the prompts by task_id; nothing else of a problem is looked at."""
    return {problem.task_id: _prompt(problem) for problem in problems}


def _prompt(problem: records.Problem) -> Prompt:
    is_python = problem.extra.get("language", "python") == "python"
    suffix = problem.extra.get("suffix") or ""
    entry_point = problem.entry_point if is_python else ""
    return Prompt(problem.task_id, problem.prompt, entry_point, suffix)


def read_samples(
    samples: Iterable[records.Completion], prompts: Mapping[str, Prompt]
) -> dict[str, list[records.Completion]]:
    """Returns the samples of each task in the order of their indices, without other fields."""
    groups: dict[str, list[records.Completion]] = {name: [] for name in prompts}
    for sample in samples:
        extra = {name: sample.extra[name] for name in _OF_SAMPLES if name in sample.extra}
        _check_number(sample, "reviewer_logprob", extra.get("reviewer_logprob"))
        groups[sample.task_id].append(dataclasses.replace(sample, extra=extra))
    for group in groups.values():
        group.sort(key=lambda sample: sample.sample_index)
    return {name: group for name, group in groups.items() if group}


def _check_number(sample: records.Completion, name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not (isinstance(value, int | float) and math.isfinite(value)):
        raise InputError(
            f"{sample.task_id}, sample {sample.sample_index}: {name} is {value!r}; expected a "
            "number of nats; set it to one, or leave it out"
        )
