"""The sources of a cache that Beam wrote, as Tasks of seqio's registry."""

from typing import Any

import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.cache_folder import (
    INDEX,
    check_settings,
    describe,
    parse_index,
)
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

_FEATURES = {
    "key": tf.io.FixedLenFeature([], tf.string),
    "language": tf.io.FixedLenFeature([], tf.string),
    "targets": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
    "weights": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
}


def read_index(directory: str) -> dict[str, Any]:
    """Reads the index of a cache.

    Raises:
      InputError: there is no cache, or its index is damaged.
    """
    path = f"{directory}/{INDEX}"
    try:
        with tf.io.gfile.GFile(path) as file:
            return parse_index(path, file.read())
    except (tf.errors.OpError, OSError):
        raise InputError(f"{directory}: no cache here; make it by `data cache`") from None


def add_cached_task(
    name: str,
    directory: str,
    source: str,
    tokenizer: Tokenizer,
    tree: SourceTree | None = None,
) -> seqio.Task:
    """Registers a source of a cache as the Task `name`, replacing any of that name.

    Raises:
      InputError: there is no cache, it lacks that source, or another tokenizer made it, or other
        settings of `tree`.
    """
    index = read_index(directory)
    if source not in index["sources"]:
        sources = ", ".join(index["sources"])
        raise InputError(f"{directory}: no source {source!r}; expected one of {sources}")
    if index["tokenizer_hash"] != tokenizer.hash:
        raise InputError(
            f"{directory}: tokenizer {index['tokenizer_hash'][:12]} made it; expected "
            f"{tokenizer.hash[:12]}; set tokenizer to that file or cache the corpus again"
        )
    if tree is not None and source in index["trees"]:
        settings = {source: describe(tree)}
        check_settings(directory, {source: index["trees"][source]}, settings)
    files = {
        split: f"{directory}/{index['run']}/{source}-{split}-?????-of-?????.tfrecord"
        for split, counts in index["sources"][source]["splits"].items()
        if counts["texts"]
    }
    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=seqio.TFExampleDataSource(files, feature_description=_FEATURES),
        preprocessors=[_cast_targets],
        output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer), add_eos=False)},
    )


def check_cache(directory: str, sequence_length: int, cleaning: Cleaning, seed: int) -> None:
    """Refuses a cache that a build of these settings wouldn't have made.

    Raises:
      InputError: cleaning or seed differ, or rows are shorter than those for which the texts of a
        source were cut before infilling.
    """
    index = read_index(directory)
    check_settings(directory, index["cleaning"], describe(cleaning))
    check_settings(directory, {"seed": index["seed"]}, {"seed": seed})
    is_infilled = any(tree["infilling"] for tree in index["trees"].values())
    if is_infilled and sequence_length < index["sequence_length"]:
        raise InputError(
            f"{directory}: infilled for rows of {index['sequence_length']} tokens; set "
            f"sequence_length to that or more, or cache the corpus again"
        )


def _cast_targets(dataset: tf.data.Dataset) -> tf.data.Dataset:
    def cast(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**example, "targets": tf.cast(example["targets"], tf.int32)}

    return dataset.map(cast)
