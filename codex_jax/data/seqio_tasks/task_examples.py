"""The examples of a Task of seqio's registry, in tokens, and the hash of its content."""

import hashlib
import itertools
import json
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.examples.encode import EncodedExample

_Result = TypeVar("_Result")

SPLITS = ("train", "validation")
_PROBED = 64  # examples of a split in the hash, whose tokens follow every setting of the Task


def task_splits(name: str) -> list[str]:
    """Returns those of train and validation that a Task has."""
    return [split for split in SPLITS if split in seqio.TaskRegistry.get(name).source.splits]


def count_shards(name: str, split: str) -> int:
    """Returns the number of parts in which a Task's split can be read: its source's files."""
    source = seqio.TaskRegistry.get(name).source
    return len(source.list_shards(split)) if isinstance(source, seqio.FileDataSource) else 1


def read_examples(
    name: str, split: str, shard: tuple[int, int] | None = None
) -> Iterator[EncodedExample]:
    """Yields a Task's examples once, in the order of its source.

    `inputs`, where the Task has them, come before `targets` and weigh nothing. An end of text at
    the end of either is left out, for the packer adds it.

    Args:
      name: The Task's.
      split: "train" or "validation".
      shard: Index and count of the parts, of which this one is read; all without.

    Raises:
      InputError: the source can't be read, or an example has no ids of the vocabulary.
    """

    def encode(number: int, example: dict[str, Any], vocabulary: Any) -> EncodedExample:
        key = f"{shard[0]}-{number}" if shard and shard[1] > 1 else str(number)
        return encode_example(example, key, vocabulary)

    yield from _read(name, split, shard, encode)


def read_texts(name: str) -> Iterator[str]:
    """Yields the texts of the train split of a Task whose ids are bytes.

    `inputs` and `targets` are texts by themselves, as is what special tokens separate.

    Raises:
      InputError: the source can't be read, or an example has no ids of bytes.
    """

    def texts(_: int, example: dict[str, Any], vocabulary: Any) -> list[str]:
        features = [feature for feature in ("inputs", "targets") if feature in example]
        arrays = [_check_ids(each, np.asarray(example[each]), vocabulary) for each in features]
        parts = (part for ids in arrays for part in np.split(ids, np.flatnonzero(ids > 255)))
        contents = (bytes(part[part < 256].tolist()) for part in parts)
        return [text for content in contents if (text := content.decode("utf-8", "ignore"))]

    if "train" in task_splits(name):
        yield from itertools.chain.from_iterable(_read(name, "train", None, texts))


def _read(
    name: str,
    split: str,
    shard: tuple[int, int] | None,
    convert: Callable[[int, dict[str, Any], Any], _Result],
) -> Iterator[_Result]:
    """Yields the results of `convert` of each example's number, features and vocabulary."""
    task = seqio.TaskRegistry.get(name)
    options = {"shard_info": seqio.ShardInfo(*shard)} if shard else {}
    try:
        dataset = task.get_dataset(split=split, sequence_length=None, shuffle=False, **options)
        vocabulary = task.output_features["targets"].vocabulary
        for number, example in enumerate(dataset.as_numpy_iterator()):
            yield convert(number, example, vocabulary)
    except Exception as error:
        message = f"task {name!r}, split {split}: {first_line(error)}"
        raise InputError(f"{message}; correct its source or preprocessors") from error


def first_line(error: Exception) -> str:
    """Returns what went wrong: of an error within TensorFlow's threads, the error's own line."""
    message = re.sub(r"\{\{[^}]*\}\}|\[Op:\w+\] name:", "", str(error))
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("codex_jax.InputError: ")]
    if isinstance(error, InputError) or own:
        return (own or lines)[0].removeprefix("codex_jax.InputError: ")[:300]
    return f"{type(error).__name__}: {' '.join(lines)[:200]}"


def encode_example(example: dict[str, Any], key: str, vocabulary: Any) -> EncodedExample:
    """Returns an example of a Task: `inputs`, which weigh nothing, and `targets`.

    Raises:
      InputError: they are no ids of the vocabulary.
    """
    parts = [
        _check_ids(name, np.asarray(example[name]), vocabulary)
        for name in ("inputs", "targets")
        if name in example
    ]
    weights = np.repeat([0.0, 1.0][-len(parts) :], [len(part) for part in parts])
    own_weights = example.get("weights")
    if own_weights is not None:
        if len(own_weights) < len(parts[-1]):
            raise InputError(f"weights has {len(own_weights)} values; expected {len(parts[-1])}")
        weights[len(weights) - len(parts[-1]) :] = own_weights[: len(parts[-1])]
    return EncodedExample(
        _to_text(example.get("key", key)),
        _to_text(example.get("language", "unknown")),
        np.concatenate(parts).astype(np.int32),
        weights.astype(np.float32),
    )


def _to_text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _check_ids(name: str, ids: np.ndarray, vocabulary: Any) -> np.ndarray:
    """Returns a feature's ids without an end of text at their end."""
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"{name} is {ids.dtype} of shape {ids.shape}; expected ids of shape (n,)")
    size = vocabulary.tokenizer.vocab_size
    if len(ids) and not 0 <= ids.min() <= ids.max() < size:
        raise InputError(f"{name} holds {ids.min()} to {ids.max()}; expected ids below {size}")
    return ids[:-1] if len(ids) and ids[-1] == vocabulary.eos_id else ids


def hash_task(name: str, modules: Sequence[str]) -> str:
    """Hashes a Task's content, and the text of its modules and of modules beside them.

    Content is the path, size and time of the source's files and the tokens of its first examples,
    which follow its settings; all examples where the source has no files.
    """
    task = seqio.TaskRegistry.get(name)
    digest = hashlib.sha256(json.dumps(hash_modules(modules)).encode())
    for split in task_splits(name):
        files = _list_files(task, split)
        digest.update(repr((split, files)).encode())
        most = None if files is None else _PROBED
        for example in itertools.islice(read_examples(name, split), most):
            digest.update(repr((example.key, example.language)).encode("utf-8", "surrogatepass"))
            digest.update(example.ids.tobytes() + example.weights.tobytes())
    return digest.hexdigest()


def _list_files(task: seqio.Task, split: str) -> list[tuple[str, int, int]] | None:
    if not isinstance(task.source, seqio.FileDataSource):
        return None
    try:
        files = sorted(task.source.list_shards(split))
        statuses = [tf.io.gfile.stat(path) for path in files]
    except (tf.errors.OpError, OSError, ValueError) as error:
        raise InputError(f"task {task.name!r}, split {split}: {first_line(error)}") from None
    return [(p, s.length, s.mtime_nsec) for p, s in zip(files, statuses, strict=True)]


def hash_modules(modules: Sequence[str]) -> dict[str, str]:
    """Returns MODULE:path → hash of the modules, and of loaded modules in their folders and below.

    Paths are relative to the folder of a module. Installed packages below it don't count.
    """
    hashes = {}
    loaded = {path for module in list(sys.modules.values()) if (path := _source_path(module))}
    for module in modules:
        if not (own := _source_path(sys.modules[module])):
            continue
        folder, paths = own.parent, {own}
        if folder.name not in ("site-packages", "dist-packages"):
            paths |= {path for path in loaded if _is_below(path, folder)}
        for path in sorted(paths):
            name = path.relative_to(folder).as_posix()
            hashes[f"{module}:{name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def _is_below(path: pathlib.Path, folder: pathlib.Path) -> bool:
    if not path.is_relative_to(folder):
        return False
    return not {"site-packages", "dist-packages"} & set(path.relative_to(folder).parts)


def _source_path(module: Any) -> pathlib.Path | None:
    file = getattr(module, "__file__", None)
    path = pathlib.Path(file) if isinstance(file, str) and file.endswith(".py") else None
    return path if path and path.is_file() else None
