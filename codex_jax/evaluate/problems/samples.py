"""Completions of a problem file, with distinct sample indices in every task."""

import collections
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import InputError, records
from codex_jax.evaluate.problems import formats


def load_completions(path: str, tasks: Mapping[str, records.Problem]) -> list[records.Completion]:
    """Reads completions by task; renumbers a task's samples if their indices aren't distinct.

    EvalPlus's `solution`, a whole program, and HumanEval-X's `generation` are read, too.

    Raises:
      InputError: a completion has no problem in `tasks`, or there are no completions.
    """
    names = _other_names(tasks)
    by_task: dict[str, list[records.Completion]] = collections.defaultdict(list)
    for where, fields in formats.read_rows(pathlib.Path(path), "Completions"):
        line = json.dumps(_renamed(fields))
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
    return [sample for group in by_task.values() for sample in _renumber(group)]


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
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


def _renumber(group: list[records.Completion]) -> Sequence[records.Completion]:
    if len({sample.sample_index for sample in group}) == len(group):
        return group
    return [
        records.Completion(**{**vars(sample), "sample_index": index})
        for index, sample in enumerate(group)
    ]
