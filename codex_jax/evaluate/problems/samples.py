"""Completions of a problem file, with distinct sample indices in every task."""

import collections
import itertools
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import InputError, records
from codex_jax.evaluate.problems import formats


def load_completions(path: str, tasks: Mapping[str, records.Problem]) -> list[records.Completion]:
    """Reads completions by task; samples without an index get the next one of their task.

    Equal completions of one task_id and index are one, with a note on standard error.

    EvalPlus's `solution`, a whole program, and HumanEval-X's `generation` are read, too.

    Raises:
      InputError: a completion has no problem in `tasks`, there are no completions, or different
        ones have the same task_id and index.
    """
    names = _other_names(tasks)
    by_task: dict[str, list[records.Completion]] = collections.defaultdict(list)
    for where, fields in formats.read_rows(pathlib.Path(path), "Completions"):
        line = json.dumps(_rename_fields(fields))
        completion = records.parse_record(line, records.Completion, where=where)
        task_id = completion.task_id
        task_id = task_id if task_id in tasks else names.get(task_id.lower(), "")
        if not task_id:
            raise InputError(
                f"{path}: completion for {completion.task_id!r}; expected a task_id of the "
                "problems file; set problems to the file that it was sampled from"
            )
        by_task[task_id].append(records.Completion(**vars(completion) | {"task_id": task_id}))
    if not by_task:
        raise InputError(f"{path}: no completions; expected JSON Lines of completions")
    samples = [sample for group in by_task.values() for sample in _number(group, path)]
    if merged := sum(map(len, by_task.values())) - len(samples):
        note = "completions repeat a task_id, an index and a text, and are counted once"
        print(f"{path}: {merged} {note}", file=sys.stderr)
    return samples


def _rename_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns a row with `completion`, whatever its owners call it."""
    if "completion" in fields:
        return fields
    if isinstance(fields.get("solution"), str):
        return {**fields, "completion": fields["solution"], "solution": True}
    return {**fields, "completion": fields["generation"]} if "generation" in fields else fields


def is_whole_program(sample: records.Completion) -> bool:
    """Whether the sample repeats the prompt, as EvalPlus's `solution` does."""
    return sample.extra.get("solution") is True


def _other_names(tasks: Mapping[str, records.Problem]) -> dict[str, str]:
    """Returns task_ids by what MBPP's samples call them: in another case, or the number alone."""
    numbers = collections.Counter(name.rpartition("/")[2] for name in tasks)
    by_number = {n: name for name in tasks if numbers[n := name.rpartition("/")[2]] == 1}
    return by_number | {name.lower(): name for name in tasks}


def _number(group: Sequence[records.Completion], path: str) -> list[records.Completion]:
    """Returns a task's samples with distinct indices, in their order."""
    numbered: dict[int, records.Completion] = {}
    for sample in group:
        index = sample.sample_index
        if index is records.UNNUMBERED:
            continue
        if numbered.setdefault(index, sample).completion != sample.completion:
            raise InputError(
                f"{path}: two different completions of {sample.task_id} with sample_index {index}; "
                "expected one; set sample_index to distinct numbers, or leave it out"
            )
    free = (index for index in itertools.count() if index not in numbered)
    return [
        records.Completion(**{**vars(sample), "sample_index": next(free)})
        if sample.sample_index is records.UNNUMBERED
        else sample
        for sample in group
        if sample.sample_index is records.UNNUMBERED or numbered[sample.sample_index] is sample
    ]
