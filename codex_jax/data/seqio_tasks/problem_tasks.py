"""The Tasks `codex_s` and `codex_d`: problems of files, to be solved and to be documented."""

import seqio

from codex_jax.data.examples.encode import encode_jointly
from codex_jax.data.examples.problem_examples import (
    TEXTS,
    Dropped,
    ProblemExamples,
    ProblemFiles,
    read_problem_examples,
)
from codex_jax.data.seqio_tasks.tasks import add_source_task, to_dataset_fn
from codex_jax.tokenizer import Tokenizer


class ProblemSource(seqio.FunctionDataSource):
    """The training texts of problems; counts those that make none."""

    def __init__(self, examples: ProblemExamples):
        """Takes all examples, which are small."""
        splits = [name for name, rows in examples.examples.items() if rows or name == "train"]
        readers = {name: lambda name=name: iter(examples.examples[name]) for name in splits}
        super().__init__(to_dataset_fn(readers), splits=splits)
        self._dropped = examples.dropped

    def list_dropped(self, split: str) -> list[Dropped]:
        """Returns the problems of a split that make no text; train's are all of a lone train."""
        return [row for row in self._dropped if row.split == split or len(self.splits) == 1]


def add_problem_tasks(files: ProblemFiles, tokenizer: Tokenizer) -> list[seqio.Task]:
    """Registers the Tasks of problem files, replacing any of their names.

    Their features are `add_task`'s; prompt and solution are tokenized as one text.

    Raises:
      InputError: a file is missing or malformed, or a problem has no solution.
    """
    return [
        add_source_task(
            name,
            ProblemSource(read_problem_examples(name, files, tokenizer)),
            tokenizer,
            encode=encode_jointly,
        )
        for name in TEXTS
    ]
