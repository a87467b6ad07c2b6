"""seqio's Evaluators of Tasks with metric_fns, whose model scores and continues rows of tokens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.examples.encode import EncodedExample
from codex_jax.data.packing.pack import Segment, rows_to_batch, split_document
from codex_jax.data.seqio_tasks.registry import find_tasks, import_modules
from codex_jax.data.seqio_tasks.task_examples import encode_example, first_line
from codex_jax.records import Batch

SPLIT = "validation"


class RowModel(NamedTuple):
    """A model as functions of global batches, numpy arrays (B, T)."""

    batch_size: int
    sequence_length: int
    # Batch → float (B,): Σ of loss weight · log probability of a row's targets, in nats.
    score: Callable[[Batch], np.ndarray]
    # Batch, most new tokens → int (B, T): the tokens, continued greedily after the one of weight 1.
    predict: Callable[[Batch, int], np.ndarray]


class TaskEvaluators:
    """The Evaluators of a Mixture's Tasks that have metric_fns and a validation split."""

    def __init__(self, mixture: str, modules: Sequence[str], examples: int):
        """Reads the first `examples` of each Task.

        Raises:
          InputError: the Mixture is unknown, no Task has metrics, or one can't be read.
        """
        import_modules(modules)
        tasks = [task for task in find_tasks(mixture) if self._has_metrics(task)]
        if not tasks:
            raise InputError(
                f"no Task of {mixture!r} has metric_fns and the split {SPLIT}; unset mixture"
            )
        self.vocabulary = tasks[0].output_features["targets"].vocabulary
        self._evaluators = [_make_evaluator(task, examples) for task in tasks]

    @staticmethod
    def _has_metrics(task: seqio.Task) -> bool:
        return bool(task.metric_objs) and SPLIT in task.source.splits

    def evaluate(self, model: RowModel, new_tokens: int) -> dict[str, float]:
        """Returns the value of every metric, by validation/TASK/METRIC.

        Raises:
          InputError: a metric raises an error.
        """
        functions = _ModelFunctions(model, self.vocabulary, new_tokens)
        values = {}
        for evaluator in self._evaluators:
            name = evaluator.eval_tasks[0].name
            try:
                metrics, _ = evaluator.evaluate(
                    compute_metrics=True, predict_fn=functions.predict, score_fn=functions.score
                )
                for metric, value in metrics.result()[name].items():
                    values[f"{SPLIT}/{name}/{metric}"] = float(getattr(value, "value", value))
            except Exception as error:
                raise InputError(f"task {name!r}, metrics: {first_line(error)}") from error
        return values


class _Unchanged(seqio.PassThroughFeatureConverter):
    """Leaves a Task's features as they are, and says so as Evaluator asks."""

    TASK_FEATURES: Mapping[str, Any] = {}

    @property
    def pack(self) -> bool:
        """False: each example is by itself."""
        return False


def _make_evaluator(task: seqio.Task, examples: int) -> seqio.Evaluator:
    if task.predict_metric_fns and "inputs" not in task.output_features:
        raise InputError(
            f"task {task.name!r} has metrics of predictions, but no inputs to predict from; "
            "add the feature inputs, or metrics of scores"
        )
    try:
        evaluator = seqio.Evaluator(
            task.name,
            _Unchanged(),
            eval_split=SPLIT,
            num_examples=examples,
            async_compute_metrics=False,
        )
        count = evaluator.cached_task_datasets[task.name].cardinality().numpy()
    except Exception as error:
        raise InputError(f"task {task.name!r}, split {SPLIT}: {first_line(error)}") from error
    if not count:
        raise InputError(f"task {task.name!r}, split {SPLIT}: no example to evaluate")
    return evaluator


class _ModelFunctions:
    """predict_fn and score_fn, as seqio.Evaluator calls them."""

    def __init__(self, model: RowModel, vocabulary: Any, new_tokens: int):
        self._model = model
        self._vocabulary = vocabulary
        self._new_tokens = new_tokens

    def _examples(self, dataset: tf.data.Dataset) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, example in dataset.as_numpy_iterator():
            yield int(index), example

    def score(self, dataset: tf.data.Dataset, *_: Any) -> list[tuple[int, float]]:
        """Returns each example's log probability, in nats, of its targets by their weights."""
        totals: dict[int, float] = {}
        rows: list[tuple[int, Segment]] = []
        for index, example in self._examples(dataset):
            totals[index] = 0.0
            encoded = encode_example(example, str(index), self._vocabulary)
            rows += [(index, segment) for segment in self._split(encoded)]
        for chunk in self._chunks(rows):
            batch = self._to_batch([[segment] for _, segment in chunk])
            for (index, _), score in zip(chunk, self._model.score(batch), strict=False):
                totals[index] += float(score)
        return list(totals.items())

    def _split(self, example: EncodedExample) -> Iterator[Segment]:
        return split_document(
            example.ids,
            sequence_length=self._model.sequence_length,
            eos_id=self._vocabulary.eos_id,
            newline_mask=self._vocabulary.tokenizer.newline_mask(),
            weights=example.weights,
        )

    def predict(self, dataset: tf.data.Dataset, *_: Any) -> list[tuple[int, np.ndarray]]:
        """Returns each example's continuation of its inputs, int (new tokens,)."""
        length, eos_id = self._model.sequence_length, self._vocabulary.eos_id
        most = min(self._new_tokens, length - 1)
        prompts = []
        for index, example in self._examples(dataset):
            inputs = np.asarray(example["inputs"])
            inputs = inputs[:-1] if len(inputs) and inputs[-1] == eos_id else inputs
            prompts.append((index, np.array([eos_id, *inputs], np.int32)[most - length :]))
        predictions = []
        for chunk in self._chunks(prompts):
            batch = self._to_batch([[_to_segment(prompt)] for _, prompt in chunk])
            for (index, prompt), tokens in zip(
                chunk, self._model.predict(batch, most), strict=False
            ):
                predictions.append((index, tokens[len(prompt) : len(prompt) + most]))
        return predictions

    def _chunks(self, rows: list[Any]) -> Iterator[list[Any]]:
        size = self._model.batch_size
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def _to_batch(self, rows: list[list[Segment]]) -> Batch:
        """Packs rows of a segment each, filled up to a global batch."""
        rows = rows + [[]] * (self._model.batch_size - len(rows))
        return rows_to_batch(rows, self._model.sequence_length)


def _to_segment(prompt: np.ndarray) -> Segment:
    """Returns a prompt whose last token has weight 1, in a segment of its own."""
    weights = np.zeros(len(prompt), np.float32)
    weights[-1] = 1
    return Segment(prompt, prompt, weights)
