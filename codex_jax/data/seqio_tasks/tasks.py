"""Documents as seqio Tasks, and several trees as a Mixture with rates."""

import dataclasses
import difflib
import importlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning, Tally
from codex_jax.data.corpus import Tree
from codex_jax.data.examples.render import Example, examples
from codex_jax.data.languages import LANGUAGES
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

_SIGNATURE = {
    "key": tf.TensorSpec([], tf.string),
    "language": tf.TensorSpec([], tf.string),
    "parts": tf.TensorSpec([None], tf.string),
    "weights": tf.TensorSpec([None], tf.float32),
    "special": tf.TensorSpec([None], tf.bool),
}


def add_task(name: str, read: Callable[[], Iterator[Example]], tokenizer: Tokenizer) -> seqio.Task:
    """Registers examples as a Task, in place of any namesake.

    Features: `targets` (ids, neither trimmed nor ended: both are the packer's business), `weights`
    (of the loss, one for each id), `key` and `language`.
    """

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del split, shuffle_files, seed  # one split, in the order of the paths
        return tf.data.Dataset.from_generator(
            lambda: (_fields(example) for example in read()), output_signature=_SIGNATURE
        )

    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, splits=["train"]),
        preprocessors=[encode_parts],
        output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer), add_eos=False)},
        metric_fns=[exact_match, edit_similarity],
    )


def exact_match(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Share of the predictions that are their target, but for whitespace at the end."""
    pairs = zip(targets, predictions, strict=True)
    return {"exact_match": float(np.mean([a.rstrip() == b.rstrip() for a, b in pairs]))}


def edit_similarity(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Mean share of each pair's lines that match in order (difflib's ratio)."""
    pairs = zip(targets, predictions, strict=True)
    ratios = [
        difflib.SequenceMatcher(None, a.splitlines(), b.splitlines(), autojunk=False).ratio()
        for a, b in pairs
    ]
    return {"edit_similarity": float(np.mean(ratios))}


def _fields(example: Example) -> dict[str, object]:
    return {
        "key": example.key,
        "language": example.language,
        "parts": [part.text for part in example.parts],
        "weights": [part.weight for part in example.parts],
        "special": [part.special for part in example.parts],
    }


def encode_parts(
    dataset: tf.data.Dataset, output_features: Mapping[str, seqio.Feature]
) -> tf.data.Dataset:
    """A seqio preprocessor: parts → `targets` and their `weights`."""
    tokenizer = output_features["targets"].vocabulary.tokenizer

    def encode(parts: tf.Tensor, weights: tf.Tensor, special: tf.Tensor) -> tuple:
        texts = [part.decode("utf-8") for part in parts.numpy()]
        names = special.numpy()
        plain = [text for text, named in zip(texts, names, strict=True) if not named]
        ordinary = iter(tokenizer.encode_batch(plain))
        ids = [
            [tokenizer.special_id(text)] if named else next(ordinary)
            for text, named in zip(texts, names, strict=True)
        ]
        repeats = [len(each) for each in ids]
        return np.array(list(itertools.chain(*ids)), np.int32), np.repeat(weights.numpy(), repeats)

    def encoded(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        ids, weights = tf.py_function(
            encode,
            [example["parts"], example["weights"], example["special"]],
            [tf.int32, tf.float32],
        )
        return {
            "key": example["key"],
            "language": example["language"],
            "targets": tf.ensure_shape(ids, [None]),
            "weights": tf.ensure_shape(weights, [None]),
        }

    return dataset.map(encoded, num_parallel_calls=tf.data.AUTOTUNE)


def _legal(name: str) -> str:
    """seqio's task names are words."""
    return re.sub(r"\W", "_", name)


def add_tree_task(
    name: str,
    tree: Tree,
    tokenizer: Tokenizer,
    *,
    cleaner: Cleaner | None = None,
    tally: Tally | None = None,
    seed: int = 0,
) -> seqio.Task:
    """`add_task` for a directory tree; by default with the paper's filters, uncounted."""

    counts = Tally() if tally is None else tally

    def read() -> Iterator[Example]:
        return examples(tree, cleaner or Cleaner(Cleaning()), counts, seed, name)

    return add_task(_legal(name), read, tokenizer)


def read_registered(
    name: str, modules: Sequence[str], tokenizer: Tokenizer
) -> Iterator[dict[str, Any]]:
    """Examples of a Task that a user's own module registers; it needs only `targets`.

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


def add_tree_mixture(name: str, trees: Mapping[str, Tree], tokenizer: Tokenizer) -> seqio.Mixture:
    """A Task NAME_TREE_LANGUAGE for each tree and language, and a Mixture of them all.

    A tree has one kind, so these are Tasks by language and kind; their rates are what the tree's
    `weight` and `rates` say. A language that the tree lacks gives an empty Task of the Mixture.
    """
    rates = {}
    for key, tree in trees.items():
        for language in LANGUAGES if "*" in tree.languages else tree.languages:
            only = dataclasses.replace(tree, languages=(language,))
            spelled = language.replace("+", "p").replace("#", "sharp")
            task = add_tree_task(f"{name}_{key}_{spelled}", only, tokenizer)
            rates[task.name] = tree.rate(language)
    seqio.MixtureRegistry.remove(name)
    return seqio.MixtureRegistry.add(name, list(rates.items()))
