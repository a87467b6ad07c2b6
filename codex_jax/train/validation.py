"""Evaluation on the validation rows during training: loss and bits per byte, by Task."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from codex_jax import InputError
from codex_jax.model import DecoderConfig
from codex_jax.records import Batch
from codex_jax.train.attention_choice import choose_attention
from codex_jax.train.batches import host_rows, on_global_batches
from codex_jax.train.compute import Compute
from codex_jax.train.row_model import RowModel
from codex_jax.train.step import loss_sum

Evaluate = Callable[[Any], dict[str, float]]  # parameters → metrics by name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
    """Frequency and size of the evaluations on the validation rows, where the data has any.

    Args:
      every: Steps between evaluations; the last step is evaluated too.
      batches: Most batches of each Task in an evaluation; None takes all its rows.
      early_stopping_patience: Evaluations in a row without a new lowest loss after which the run
        ends; 0 never ends it.
    """

    every: int = 200
    batches: int | None = 8
    early_stopping_patience: int = 0


@runtime_checkable
class ValidationBatches(Protocol):
    """Packed rows of the validation split, each of a single Task."""

    vocab_size: int
    sequence_length: int
    batch_size: int
    tasks: Sequence[str]
    token_bytes: np.ndarray  # int32 (V,): bytes of text of each id

    def task_batches(self, task: str, rows: np.ndarray | None = None) -> Iterator[Batch]:
        """Yields a Task's batches once, the last padded; of each the rows of these indices."""
        ...


@runtime_checkable
class TaskMetrics(Protocol):
    """Metrics of Tasks that a model computes by scoring and continuing rows."""

    tokenizer_hash: str

    def evaluate(self, **model: Any) -> dict[str, float]:
        """Returns metrics by name, from what `RowModel.bind` returns."""
        ...


class TaskEvaluator:
    """Computes the metrics of Tasks."""

    def __init__(self, metrics: TaskMetrics, model: RowModel):
        self._metrics = metrics
        self._model = model

    def evaluate(self, params: Any) -> dict[str, float]:
        """Returns the metrics of parameters, by name."""
        return self._metrics.evaluate(**self._model.bind(params))


class Evaluator:
    """Computes the metrics of parameters on the validation rows."""

    def __init__(
        self,
        batches: ValidationBatches,
        config: DecoderConfig,
        compute: Compute,
        mesh: Mesh,
        settings: Validation,
    ):
        """Prepares the evaluation step, which is compiled at its first use."""
        self._batches = batches
        self._most = settings.batches
        self._rows = host_rows(mesh, batches)
        sums = functools.partial(
            batch_sums,
            config=config,
            token_bytes=np.asarray(batches.token_bytes),
            microbatches=compute.microbatches,
            dtype=jnp.dtype(compute.dtype),
            chunks=compute.loss_chunks,
            attention=choose_attention(mesh),
            mesh=mesh,
        )
        self._sums = on_global_batches(jax.jit(sums), mesh, batches)

    def evaluate(self, params: Any) -> dict[str, float]:
        """Returns loss (nats a token) and bits per byte: of all rows, and by Task.

        Names are "validation/loss" and "validation/TASK/loss", and so with bits_per_byte.
        """
        totals = {task: self._total(params, task) for task in self._batches.tasks}
        metrics = _rates("validation", sum(totals.values()))
        for task, total in totals.items():
            metrics |= _rates(f"validation/{task}", total)
        return metrics

    def _total(self, params: Any, task: str) -> np.ndarray:
        batches = self._batches.task_batches(task, self._rows)
        sums = [self._sums(params, batch) for batch in itertools.islice(batches, self._most)]
        return np.asarray(jax.device_get(sums), np.float64).sum(axis=0)


def make_evaluate(
    batches: Any,
    config: DecoderConfig,
    compute: Compute,
    mesh: Mesh,
    settings: Validation,
    task_metrics: TaskMetrics | None,
) -> Evaluate | None:
    """Returns parameters → metrics, of validation rows and Tasks; None where there are neither.

    Raises:
      InputError: the Tasks' tokenizer isn't the rows'.
    """
    evaluators: list[Evaluator | TaskEvaluator] = []
    if held_out := getattr(batches, "validation", None):
        evaluators.append(Evaluator(held_out, config, compute, mesh, settings))
    if task_metrics:
        if task_metrics.tokenizer_hash != batches.tokenizer_hash:
            raise InputError(
                f"the Tasks' tokenizer is {task_metrics.tokenizer_hash[:12]}, the rows' "
                f"{batches.tokenizer_hash[:12]}; set TaskMetrics.mixture to Tasks of that one"
            )
        evaluators.append(TaskEvaluator(task_metrics, RowModel(batches, config, compute, mesh)))

    def evaluate(params: Any) -> dict[str, float]:
        return {k: v for evaluator in evaluators for k, v in evaluator.evaluate(params).items()}

    return evaluate if evaluators else None


def _rates(name: str, total: Any) -> dict[str, float]:
    loss, tokens, size = map(float, total)
    bits = loss / math.log(2) / size if size else math.nan
    return {
        f"{name}/loss": loss / tokens if tokens else math.nan,
        f"{name}/bits_per_byte": bits,
    }


def batch_sums(
    params: Any,
    batch: Batch,
    *,
    config: DecoderConfig,
    token_bytes: Any,
    microbatches: int = 1,
    **loss_options: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns Σ of weighted losses in nats, Σ of weights, and Σ of bytes of the weighted targets.

    The batch is computed in `microbatches` parts. End of text counts in the loss, with no byte.
    """
    parts = jax.tree.map(lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch)
    losses = jax.lax.map(lambda part: loss_sum(config, params, part, **loss_options), parts)
    sizes = jnp.asarray(token_bytes)[batch.targets] * (batch.loss_weights > 0)
    return losses.sum(), batch.loss_weights.sum(), sizes.sum().astype(jnp.float32)
