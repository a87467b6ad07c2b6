"""Completions of a problem file, with distinct sample indices in every task."""

import collections
from collections.abc import Mapping, Sequence

from codex_jax import InputError, records


def load_completions(path: str, tasks: Mapping[str, records.Problem]) -> list[records.Completion]:
    """Reads completions by task; renumbers a task's samples if their indices aren't distinct.

    Raises:
      InputError: a completion has no problem in `tasks`, or there are no completions.
    """
    by_task: dict[str, list[records.Completion]] = collections.defaultdict(list)
    for completion in records.read_jsonl(path, records.Completion):
        if completion.task_id not in tasks:
            raise InputError(
                f"{path}: completion for {completion.task_id!r}; expected a task_id of the "
                "problems file; set problems to the file that it was sampled from"
            )
        by_task[completion.task_id].append(completion)
    if not by_task:
        raise InputError(f"{path}: no completions; expected JSON Lines of completions")
    return [sample for group in by_task.values() for sample in _renumber(group)]


def _renumber(group: list[records.Completion]) -> Sequence[records.Completion]:
    if len({sample.sample_index for sample in group}) == len(group):
        return group
    return [
        records.Completion(**{**vars(sample), "sample_index": index})
        for index, sample in enumerate(group)
    ]
