"""Corpora in seqio's registry: a tree is a Task, several trees are a Mixture with rates."""

import difflib
import functools
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import seqio
import tensorflow as tf

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import Corpus, SourceTree, is_validation, read_corpus
from codex_jax.data.documents import Example, Span
from codex_jax.data.examples.encode import encode_spans
from codex_jax.data.examples.render import render_repeats
from codex_jax.data.examples.row_cutter import RowCutter
from codex_jax.data.seqio_tasks.sources import TreeRate, TreeSource
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary, load_tokenizer
from codex_jax.data.stats import FileStats
from codex_jax.tokenizer import Tokenizer

# Spans → their ids and loss weights.
Encode = Callable[[Sequence[Span], Tokenizer], tuple[np.ndarray, np.ndarray]]

_SIGNATURE = {
    "key": tf.TensorSpec([], tf.string),
    "language": tf.TensorSpec([], tf.string),
    "spans": tf.TensorSpec([None], tf.string),
    "weights": tf.TensorSpec([None], tf.float32),
    "special": tf.TensorSpec([None], tf.bool),
}


def add_task(
    name: str,
    read: Callable[[], Iterator[Example]],
    tokenizer: Tokenizer,
    *,
    read_validation: Callable[[], Iterator[Example]] | None = None,
) -> seqio.Task:
    """Registers examples as a Task, replacing any of that name.

    Features: `targets` (ids, neither trimmed nor ended: the packer does both), `weights` (of the
    loss, one for each id), `key` and `language`.
    """
    readers = {"train": read} | ({"validation": read_validation} if read_validation else {})
    source = seqio.FunctionDataSource(to_dataset_fn(readers), splits=list(readers))
    return add_source_task(name, source, tokenizer)


def to_dataset_fn(
    readers: Mapping[str, Callable[[], Iterator[Example]]],
) -> Callable[..., tf.data.Dataset]:
    """Returns the function of a seqio.FunctionDataSource that reads these splits' examples."""

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del shuffle_files, seed  # examples come in the order of the paths
        return tf.data.Dataset.from_generator(
            lambda: (_to_fields(example) for example in readers[split]()),
            output_signature=_SIGNATURE,
        )

    return dataset


def add_source_task(
    name: str,
    source: seqio.DataSource,
    tokenizer: Tokenizer | pathlib.Path | str,
    *,
    encode: Encode = encode_spans,
) -> seqio.Task:
    """Registers a source of examples, as `to_dataset_fn` reads them, replacing any of that name."""
    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=[functools.partial(encode_examples, encode_text=encode)],
        output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer), add_eos=False)},
        metric_fns=[log_likelihood],
    )


def log_likelihood(targets: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """Returns the mean log probability of a document, in nats."""
    del targets
    return {"log_likelihood": float(np.mean(scores))}


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
    dataset: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    encode_text: Encode = encode_spans,
) -> tf.data.Dataset:
    """Encodes `spans` to `targets` and their `weights`; a seqio preprocessor."""
    tokenizer = output_features["targets"].vocabulary.tokenizer

    def encode(
        texts: tf.Tensor, weights: tf.Tensor, special: tf.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        columns = texts.numpy(), weights.numpy().tolist(), special.numpy().tolist()
        rows = zip(*columns, strict=True)
        return encode_text([Span(text.decode(), *rest) for text, *rest in rows], tokenizer)

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


def add_tree_task(
    name: str,
    tree: SourceTree,
    tokenizer: Tokenizer | pathlib.Path | str,
    *,
    cleaner: Cleaner | None = None,
    stats: FileStats | None = None,
    seed: int = 0,
    sequence_length: int = 2048,
    source: str | None = None,
) -> seqio.Task:
    """Registers a directory tree as a Task, with the paper's filters by default, uncounted.

    Its splits are train, and validation where the tree has a validation_share. `data build` reads
    the tree by itself and applies its own cleaning, seed and sequence_length.

    Args:
      name: of the Task; characters that seqio refuses become "_".
      tree: The directory and how to render it.
      tokenizer: The vocabulary, or the path of its file.
      cleaner: The steps that a file must pass.
      stats: Gets the counts.
      seed: Of infilling's cuts and of fractions of weights.
      sequence_length: Tokens in a row, in which each infilled text fits.
      source: Name of the tree, which chooses a fraction's documents; by default the Task's.
    """
    task_name = re.sub(r"\W", "_", name)
    tree_name = task_name if source is None else source
    counts = FileStats() if stats is None else stats

    def read(is_held_out: bool) -> Iterator[Example]:
        cutter = RowCutter(load_tokenizer(tokenizer), sequence_length)
        documents = (cleaner or Cleaner(Cleaning())).documents(tree, counts, name)
        for document in documents:
            if is_validation(document.path, tree.validation_share) == is_held_out:
                yield from render_repeats(document, tree, seed, cutter, tree_name)

    dataset = to_dataset_fn({"train": lambda: read(False), "validation": lambda: read(True)})
    return add_source_task(task_name, TreeSource(tree, dataset), tokenizer)


def add_corpus(name: str, corpus: Corpus, tokenizer: Tokenizer, *, seed: int = 0) -> seqio.Mixture:
    """Registers a Task NAME_TREE for each tree of a corpus, and the Mixture NAME of them all.

    `data build` takes each document as often as its tree's weight requires. In seqio a tree's rate
    is the size of its files by its weight.
    """
    trees = read_corpus(corpus)
    tasks = {
        key: add_tree_task(f"{name}_{key}", tree, tokenizer, seed=seed, source=key)
        for key, tree in trees.items()
    }
    seqio.MixtureRegistry.remove(name)
    return seqio.MixtureRegistry.add(
        name, [(task.name, TreeRate(trees[key])) for key, task in tasks.items()]
    )
