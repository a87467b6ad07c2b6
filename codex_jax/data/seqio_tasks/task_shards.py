"""Shards of Tasks whose source isn't a tree of files: seqio reads them, in this process."""

import pathlib

import seqio

from codex_jax.data.examples.problem_examples import LANGUAGE
from codex_jax.data.seqio_tasks.problem_tasks import ProblemSource
from codex_jax.data.seqio_tasks.task_examples import SPLITS, read_examples, task_splits
from codex_jax.data.shards.shards import BuildSpec, ShardBuilder, manifest_path
from codex_jax.progress import bar


def build_task_shards(spec: BuildSpec) -> list[str]:
    """Builds a shard for each split of the Tasks that isn't there; returns the names of all.

    Raises:
      InputError: a source can't be read.
    """
    builder = ShardBuilder(spec)
    names = []
    for number, task in enumerate(spec.tasks, len(spec.trees)):
        for split in (split for split in SPLITS if split in task_splits(task)):
            name = f"{number:03}-{split}"
            names.append(name)
            if not manifest_path(pathlib.Path(spec.folder), name).is_file():
                examples = bar(read_examples(task, split), desc=task, unit="example")
                builder.build_examples(name, examples, list_dropped(task, split))
    return names


def list_dropped(task: str, split: str) -> list[tuple[str, str, str]]:
    """Returns key, language and reason of the examples that a Task's source left out."""
    source = seqio.TaskRegistry.get(task).source
    if not isinstance(source, ProblemSource):
        return []
    return [(row.task_id, LANGUAGE, row.reason) for row in source.list_dropped(split)]
