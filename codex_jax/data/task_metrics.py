"""The metric_fns of a Mixture's Tasks during training: `main` makes it, and hands it to `train`."""

from collections.abc import Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.data.seqio_tasks.lazy_import import load_task_evaluators
from codex_jax.list_settings import split_names


class TaskMetrics:
    """Computes the metric_fns of Tasks on their validation split, through seqio's Evaluator."""

    def __init__(
        self,
        *,
        mixture: str = "",
        modules: Sequence[str] | str = (),
        examples: int = 64,
        new_tokens: int = 64,
    ):
        """Imports seqio and reads the examples.

        Args:
          mixture: name of a seqio Task or Mixture whose Tasks' metric_fns are computed.
          modules: Python modules that register it.
          examples: most examples of each Task, the first of its validation split.
          new_tokens: most tokens of a prediction; inputs that leave no room lose their beginning.

        Raises:
          InputError: the Mixture is unknown, no Task has metrics, or one can't be read.
        """
        if not mixture:
            raise InputError("TaskMetrics.mixture is unset; set it to a Task or Mixture of seqio's")
        if examples < 1 or new_tokens < 1:
            raise InputError(
                f"examples is {examples}, new_tokens {new_tokens}; expected at least 1"
            )
        modules = split_names("modules", modules)
        self._library = load_task_evaluators()
        self._evaluators = self._library.TaskEvaluators(mixture, modules, examples)
        self._new_tokens = new_tokens

    @property
    def tokenizer_hash(self) -> str:
        """Hash of the Tasks' tokenizer."""
        return self._evaluators.vocabulary.tokenizer.hash

    def evaluate(self, **model: Any) -> dict[str, float]:
        """Returns the value of every metric, by validation/TASK/METRIC.

        Args:
          **model: The fields of `task_evaluators.RowModel`.

        Raises:
          InputError: a metric raises an error.
        """
        return self._evaluators.evaluate(self._library.RowModel(**model), self._new_tokens)
