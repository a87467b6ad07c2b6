"""Completions of a problem file, with distinct sample indices in every task."""

import collections
import itertools
import sys
from collections.abc import Mapping, Sequence

from codex_jax import InputError, records


def load_completions(path: str, tasks: Mapping[str, records.Problem]) -> list[records.Completion]:
    """Reads completions by task; samples without an index get the next one of their task.

    Equal completions of one task_id and index are one, with a note on standard error.

    Raises:
      InputError: a completion has no problem in `tasks`, there are no completions, or different
        ones have the same task_id and index.
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
    samples = [sample for group in by_task.values() for sample in _number(group, path)]
    if merged := sum(map(len, by_task.values())) - len(samples):
        note = "completions repeat a task_id, an index and a text, and are counted once"
        print(f"{path}: {merged} {note}", file=sys.stderr)
    return samples


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
