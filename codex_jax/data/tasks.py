"""Any directory tree as a registered seqio Task, and several as a Mixture with rates."""

import collections
from collections.abc import Callable, Iterator, Mapping

import seqio
import tensorflow as tf

from codex_jax.data.sources import Document, Tree, read_documents
from codex_jax.data.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

Read = Callable[[], Iterator[Document]]


def add_task(name: str, read: Read, tokenizer: Tokenizer) -> seqio.Task:
    """Registers documents as a Task of `targets` (ids) and `path`, in place of any namesake.

    seqio adds no end of text and trims nothing here: both are the packer's business.
    """

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del split, shuffle_files, seed  # one split, in the order of the paths
        return tf.data.Dataset.from_generator(
            lambda: ({"path": found.path, "targets": found.text} for found in read()),
            output_signature={
                "path": tf.TensorSpec([], tf.string),
                "targets": tf.TensorSpec([], tf.string),
            },
        )

    seqio.TaskRegistry.remove(name)
    feature = seqio.Feature(BytePairVocabulary(tokenizer), add_eos=False)
    return seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, splits=["train"]),
        preprocessors=[seqio.preprocessors.tokenize],
        output_features={"targets": feature},
    )


def add_tree_task(
    name: str,
    tree: Tree,
    tokenizer: Tokenizer,
    dropped: collections.Counter[str] | None = None,
) -> seqio.Task:
    """`add_task` for a directory tree; `dropped` counts the files left out by reason."""
    counts = collections.Counter() if dropped is None else dropped
    return add_task(name, lambda: read_documents(tree, counts), tokenizer)


def add_tree_mixture(name: str, trees: Mapping[str, Tree], tokenizer: Tokenizer) -> seqio.Mixture:
    """A Task NAME_TREE for each tree and a Mixture of them, rates being the trees' weights."""
    tasks = [add_tree_task(f"{name}_{key}", tree, tokenizer) for key, tree in trees.items()]
    rates = [tree.weight for tree in trees.values()]
    seqio.MixtureRegistry.remove(name)
    pairs = [(task.name, rate) for task, rate in zip(tasks, rates, strict=True)]
    return seqio.MixtureRegistry.add(name, pairs)
