"""Documents as seqio Tasks, and several trees as a Mixture with rates."""

import dataclasses
import difflib
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.documents import Example, Span
from codex_jax.data.examples.encode import encode_spans
from codex_jax.data.examples.render import render_repeats
from codex_jax.data.languages import LANGUAGES
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.data.stats import FileStats
from codex_jax.tokenizer import Tokenizer

_SIGNATURE = {
    "key": tf.TensorSpec([], tf.string),
    "language": tf.TensorSpec([], tf.string),
    "spans": tf.TensorSpec([None], tf.string),
    "weights": tf.TensorSpec([None], tf.float32),
    "special": tf.TensorSpec([None], tf.bool),
}


def add_task(name: str, read: Callable[[], Iterator[Example]], tokenizer: Tokenizer) -> seqio.Task:
    """Registers examples as a Task, replacing any of that name.

    Features: `targets` (ids, neither trimmed nor ended: the packer does both), `weights` (of the
    loss, one for each id), `key` and `language`.
    """

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del split, shuffle_files, seed  # one split, in the order of the paths
        return tf.data.Dataset.from_generator(
            lambda: (_to_fields(example) for example in read()), output_signature=_SIGNATURE
        )

    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, splits=["train"]),
        preprocessors=[encode_examples],
        output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer), add_eos=False)},
        metric_fns=[exact_match, edit_similarity],
    )


def exact_match(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Returns the share of predictions equal to their target, up to whitespace at the end."""
    pairs = zip(targets, predictions, strict=True)
    return {"exact_match": float(np.mean([a.rstrip() == b.rstrip() for a, b in pairs]))}


def edit_similarity(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Returns the mean share of each pair's lines that match in order (difflib's ratio)."""
    pairs = zip(targets, predictions, strict=True)
    ratios = [
        difflib.SequenceMatcher(None, a.splitlines(), b.splitlines(), autojunk=False).ratio()
        for a, b in pairs
    ]
    return {"edit_similarity": float(np.mean(ratios))}


def _to_fields(example: Example) -> dict[str, object]:
    return {
        "key": example.key,
        "language": example.language,
        "spans": [span.text for span in example.spans],
        "weights": [span.weight for span in example.spans],
        "special": [span.special for span in example.spans],
    }


def encode_examples(
    dataset: tf.data.Dataset, output_features: Mapping[str, seqio.Feature]
) -> tf.data.Dataset:
    """Encodes `spans` to `targets` and their `weights`; a seqio preprocessor."""
    tokenizer = output_features["targets"].vocabulary.tokenizer

    def encode(
        texts: tf.Tensor, weights: tf.Tensor, special: tf.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        columns = texts.numpy(), weights.numpy().tolist(), special.numpy().tolist()
        rows = zip(*columns, strict=True)
        return encode_spans([Span(text.decode(), *rest) for text, *rest in rows], tokenizer)

    def encode_example(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        ids, weights = tf.py_function(
            encode,
            [example["spans"], example["weights"], example["special"]],
            [tf.int32, tf.float32],
        )
        return {
            "key": example["key"],
            "language": example["language"],
            "targets": tf.ensure_shape(ids, [None]),
            "weights": tf.ensure_shape(weights, [None]),
        }

    return dataset.map(encode_example, num_parallel_calls=tf.data.AUTOTUNE)


def iterate_examples(
    tree: SourceTree, cleaner: Cleaner, stats: FileStats, seed: int, desc: str
) -> Iterator[Example]:
    """Yields the tree's training texts, each as often as its weight requires."""
    for document in cleaner.documents(tree, stats, desc):
        yield from render_repeats(document, tree, seed)


def add_tree_task(
    name: str,
    tree: SourceTree,
    tokenizer: Tokenizer,
    *,
    cleaner: Cleaner | None = None,
    stats: FileStats | None = None,
    seed: int = 0,
) -> seqio.Task:
    """Calls `add_task` for a directory tree; by default with the paper's filters, uncounted."""
    counts = FileStats() if stats is None else stats

    def read() -> Iterator[Example]:
        return iterate_examples(tree, cleaner or Cleaner(Cleaning()), counts, seed, name)

    return add_task(_to_task_name(name), read, tokenizer)


def _to_task_name(name: str) -> str:
    """Replaces characters that seqio refuses in a Task's name."""
    return re.sub(r"\W", "_", name)


def read_registered(
    name: str, modules: Sequence[str], tokenizer: Tokenizer
) -> Iterator[dict[str, Any]]:
    """Yields examples of a Task that a user's own module registers; it needs only `targets`.

    Raises:
      InputError: a module is missing, the Task is unknown, or its vocabulary isn't `tokenizer`.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(f"module {module!r}: {error}; is it on PYTHONPATH?") from None
    names = list(seqio.TaskRegistry.names())
    if name not in names:
        close = ", ".join(difflib.get_close_matches(name, names)) or "none"
        raise InputError(f"seqio task {name!r} isn't registered (near: {close}); set task_modules")
    task = seqio.TaskRegistry.get(name)
    if task.output_features["targets"].vocabulary != BytePairVocabulary(tokenizer):
        raise InputError(f"seqio task {name!r}: its vocabulary isn't a BytePairVocabulary of ours")
    dataset = task.get_dataset(split="train", sequence_length=None, shuffle=False)
    for number, example in enumerate(dataset.as_numpy_iterator()):
        weights = np.ones(len(example["targets"]), np.float32)
        yield {"key": str(number).encode(), "language": b"unknown", "weights": weights, **example}


def add_tree_mixture(
    name: str, trees: Mapping[str, SourceTree], tokenizer: Tokenizer
) -> seqio.Mixture:
    """Registers a Task NAME_TREE_LANGUAGE for each tree and language, and a Mixture of them all.

    A tree is rendered in one way, so these are Tasks by language and rendering; their rates are
    the tree's `weight` and `language_weights`. A language that the tree lacks gives an empty Task.
    """
    rates = {}
    for key, tree in trees.items():
        for language in LANGUAGES if "*" in tree.languages else tree.languages:
            single = dataclasses.replace(tree, languages=(language,))
            suffix = language.replace("+", "p").replace("#", "sharp")
            task = add_tree_task(f"{name}_{key}_{suffix}", single, tokenizer)
            rates[task.name] = tree.weight_of(language)
    seqio.MixtureRegistry.remove(name)
    return seqio.MixtureRegistry.add(name, list(rates.items()))
