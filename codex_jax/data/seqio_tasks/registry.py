"""seqio's registry as `data build` reads it: modules, a Task or Mixture, examples."""

import difflib
import hashlib
import importlib
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.corpus import SourceTree
from codex_jax.data.examples.encode import EncodedExample
from codex_jax.data.seqio_tasks.sources import TreeRate, TreeSource
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

SPLITS = ("train", "validation")


class Member(NamedTuple):
    """A Task of a mixture."""

    name: str
    tree: SourceTree | None  # of a Task whose source is a tree of files
    rate: float | None  # None where a tree's weights say how often its documents occur


def read_members(name: str, modules: Sequence[str], tokenizer: Tokenizer) -> list[Member]:
    """Returns the Tasks of the Task or Mixture `name`, which one of `modules` registers.

    Raises:
      InputError: a module is missing, the name is unknown, or a vocabulary isn't `tokenizer`.
    """
    _import(modules)
    names = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in names:
        close = ", ".join(difflib.get_close_matches(name, names)) or "none"
        raise InputError(f"{name!r} is no registered Task or Mixture (near: {close}); set modules")
    provider = seqio.get_mixture_or_task(name)
    tasks = list(provider.tasks) if isinstance(provider, seqio.Mixture) else [provider]
    for task in tasks:
        _check(task, tokenizer)
    return [
        Member(task.name, getattr(task.source, "tree", None), rate)
        for task, rate in zip(tasks, _rates(provider, tasks), strict=True)
    ]


def _rates(provider: Any, tasks: list[seqio.Task]) -> list[float | None]:
    if not isinstance(provider, seqio.Mixture):
        return [None]
    rates = provider.rate_per_task_name.values()
    if all(isinstance(rate, TreeRate) for rate in rates):
        return [None] * len(tasks)
    values = [provider.get_rate(task) for task in tasks]
    for task, rate in zip(tasks, values, strict=True):
        if not 0 <= rate < float("inf"):
            raise InputError(
                f"mixture {provider.name!r}: the rate of {task.name} is {rate}; set ≥ 0"
            )
    if not any(values):
        raise InputError(f"mixture {provider.name!r}: all rates are 0; set one above 0")
    return values


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise InputError(f"module {module!r}: {error}; is it on PYTHONPATH?") from None
        except InputError:
            raise
        except Exception as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"module {module!r}: {type(error).__name__}: {line}") from error


def _check(task: seqio.Task, tokenizer: Tokenizer) -> None:
    if "targets" not in task.output_features:
        features = ", ".join(task.output_features)
        raise InputError(f"task {task.name!r} has the features {features}; expected targets")
    for name, feature in task.output_features.items():
        if name in ("inputs", "targets") and feature.vocabulary != BytePairVocabulary(tokenizer):
            raise InputError(
                f"task {task.name!r}: the vocabulary of {name} isn't a BytePairVocabulary of the "
                f"tokenizer {tokenizer.hash[:12]}; set both to the same file"
            )


def task_splits(name: str) -> list[str]:
    """Returns those of train and validation that a Task has."""
    return [split for split in SPLITS if split in seqio.TaskRegistry.get(name).splits]


def read_examples(name: str, split: str, eos_id: int) -> Iterator[EncodedExample]:
    """Yields a Task's examples once, in the order of its source.

    `inputs`, where the Task has them, come before `targets` and weigh nothing. An end of text at
    the end of either is left out, for the packer adds it.

    Raises:
      InputError: the source can't be read, or an example has no ids of the vocabulary.
    """
    task = seqio.TaskRegistry.get(name)
    try:
        dataset = task.get_dataset(split=split, sequence_length=None, shuffle=False)
        for number, example in enumerate(dataset.as_numpy_iterator()):
            yield _encode(example, number, eos_id)
    except (tf.errors.OpError, OSError, ValueError, TypeError, KeyError) as error:
        line = " ".join(str(error).split())[:200]
        message = f"task {name!r}, split {split}: {type(error).__name__}: {line}"
        raise InputError(f"{message}; correct its source or preprocessors") from None


def _encode(example: dict[str, Any], number: int, eos_id: int) -> EncodedExample:
    parts = [
        _without_end(np.asarray(example[name]), eos_id)
        for name in ("inputs", "targets")
        if name in example
    ]
    weights = np.repeat([0.0, 1.0][-len(parts) :], [len(part) for part in parts])
    own_weights = example.get("weights")
    if own_weights is not None and len(own_weights) >= len(parts[-1]):
        weights[len(weights) - len(parts[-1]) :] = own_weights[: len(parts[-1])]
    return EncodedExample(
        example["key"].decode() if "key" in example else str(number),
        example["language"].decode() if "language" in example else "unknown",
        np.concatenate(parts).astype(np.int32),
        weights.astype(np.float32),
    )


def _without_end(ids: np.ndarray, eos_id: int) -> np.ndarray:
    return ids[:-1] if len(ids) and ids[-1] == eos_id else ids


def hash_task(name: str, modules: Sequence[str], eos_id: int) -> str:
    """Hashes a Task's content, and the text of its modules and of modules beside them.

    Content is the path, size and time of the source's files; where it has none, its examples.
    """
    task = seqio.TaskRegistry.get(name)
    digest = hashlib.sha256(json.dumps(hash_modules(modules)).encode())
    for split in task_splits(name):
        files = _list_files(task, split)
        if files is not None:
            digest.update(repr((split, files)).encode())
            continue
        for example in read_examples(name, split, eos_id):
            digest.update(repr((split, example.key, example.language)).encode())
            digest.update(example.ids.tobytes() + example.weights.tobytes())
    return digest.hexdigest()


def _list_files(task: seqio.Task, split: str) -> list[tuple[str, int, int]] | None:
    if not isinstance(task.source, seqio.FileDataSource):
        return None
    files = sorted(task.source.list_shards(split))
    statuses = [tf.io.gfile.stat(path) for path in files]
    return [(p, s.length, s.mtime_nsec) for p, s in zip(files, statuses, strict=True)]


def hash_modules(modules: Sequence[str]) -> dict[str, str]:
    """Returns file name → hash of the modules, and of loaded modules in the same folders."""
    paths = {path for module in modules if (path := _source_path(sys.modules[module]))}
    folders = {path.parent for path in paths}
    loaded = (_source_path(module) for module in list(sys.modules.values()))
    paths |= {path for path in loaded if path and path.parent in folders}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def _source_path(module: Any) -> pathlib.Path | None:
    file = getattr(module, "__file__", None)
    path = pathlib.Path(file) if isinstance(file, str) and file.endswith(".py") else None
    return path if path and path.is_file() else None


def is_tree(task: seqio.Task) -> bool:
    """Tells whether a Task's source is a tree of files."""
    return isinstance(task.source, TreeSource)
