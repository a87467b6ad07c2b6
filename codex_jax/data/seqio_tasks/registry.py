"""seqio's registry as `data build` reads it: modules, and the members of a Task or Mixture."""

import dataclasses
import difflib
import importlib
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import seqio

from codex_jax import InputError
from codex_jax.data.corpus import SourceTree
from codex_jax.data.examples.problem_examples import TEXTS, ProblemFiles
from codex_jax.data.seqio_tasks.cached_task import add_cached_task
from codex_jax.data.seqio_tasks.problem_tasks import add_problem_tasks
from codex_jax.data.seqio_tasks.sources import TreeRate
from codex_jax.data.seqio_tasks.task_examples import SPLITS, first_line
from codex_jax.data.seqio_tasks.tasks import add_tree_task
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary, byte_tokenizer
from codex_jax.tokenizer import Tokenizer

# Task of a cache or of bytes → the Task of that name for which it stands in the registry.
_ORIGINALS: weakref.WeakKeyDictionary[seqio.Task, seqio.Task] = weakref.WeakKeyDictionary()


class Member(NamedTuple):
    """A Task of a mixture."""

    name: str
    tree: SourceTree | None  # of a Task whose source is a tree of files
    rate: float | None  # None where a tree's weights say how often its documents occur


def register(
    trees: Mapping[str, SourceTree],
    modules: Sequence[str],
    tokenizer: Tokenizer | None,
    problems: ProblemFiles | None = None,
) -> None:
    """Registers trees as Tasks by their names, and the problems' Tasks; then imports the modules.

    These may use the Tasks. Without a tokenizer their ids are bytes.

    Raises:
      InputError: a name isn't seqio's, a module is missing, or it raises an error.
    """
    if problems and (taken := trees.keys() & TEXTS):
        raise InputError(f"corpus {min(taken)!r}: problems make a Task of that name; set another")
    for name, tree in trees.items():
        if not name.isidentifier():
            raise InputError(f"corpus {name!r}: expected letters, digits and _ in a Task's name")
        add_tree_task(name, tree, tokenizer or byte_tokenizer())
    if problems:
        add_problem_tasks(problems, tokenizer or byte_tokenizer())
    import_modules(modules)


def import_modules(modules: Sequence[str]) -> None:
    """Imports modules, which register Tasks and Mixtures.

    Raises:
      InputError: a module is missing, or it raises an error.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise InputError(f"module {module!r}: {error}; is it on PYTHONPATH?") from None
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"module {module!r}: {type(error).__name__}: {line}") from error


def add_weighted_mixture(name: str, trees: Mapping[str, SourceTree]) -> None:
    """Registers the Mixture of registered trees by their weights, replacing any of that name."""
    seqio.MixtureRegistry.remove(name)
    seqio.MixtureRegistry.add(name, [(key, TreeRate(tree)) for key, tree in trees.items()])


def read_members(
    name: str, rates: Mapping[str, float], tokenizer: Tokenizer | None, *, cached: str = ""
) -> list[Member]:
    """Returns the Tasks of a registered Task or Mixture, or of the Mixture that `rates` make.

    Args:
      name: The Task's or Mixture's; a new one where there are rates.
      rates: Task → rate.
      tokenizer: The vocabulary that their features must have; None where it is yet to be
        learnt: their ids are then bytes.
      cached: Folder of a cache, whose records take the place of the Tasks' sources.

    Raises:
      InputError: the name or a Task is unknown, or a vocabulary isn't `tokenizer`.
    """
    if rates:
        _add_mixture(name, rates)
    tasks = find_tasks(name)
    for task in tasks:
        _check(task, tokenizer)
    member_rates = _rates(seqio.get_mixture_or_task(name))
    if tokenizer is None or cached:
        tasks = [_replace(task, tokenizer, cached) for task in tasks]
    return [
        Member(task.name, _tree(task), rate) for task, rate in zip(tasks, member_rates, strict=True)
    ]


def _replace(task: seqio.Task, tokenizer: Tokenizer | None, cached: str) -> seqio.Task:
    """Registers a Task of bytes, or one of a cache, in a Task's place."""
    if tokenizer is None:
        replacement = _add_byte_task(task)
    else:
        replacement = add_cached_task(task.name, cached, task.name, tokenizer, _tree(task))
    _ORIGINALS[replacement] = task
    return replacement


def _tree(task: seqio.Task) -> SourceTree | None:
    return getattr(task.source, "tree", None)


def find_tasks(name: str) -> list[seqio.Task]:
    """Returns the Tasks of a registered Task or Mixture, as they are registered now.

    Raises:
      InputError: the name is unknown.
    """
    names = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in names:
        raise InputError(
            f"{name!r} is no registered Task or Mixture{_list_near_names(name, names)}; set modules"
        )
    return [_restore(task.name) for task in _list_tasks(seqio.get_mixture_or_task(name))]


def _list_tasks(provider: Any) -> list[seqio.Task]:
    return list(provider.tasks) if isinstance(provider, seqio.Mixture) else [provider]


def _restore(name: str) -> seqio.Task:
    """Returns the Task of a name, which an earlier build of this process may have replaced."""
    task = seqio.TaskRegistry.get(name)
    if original := _ORIGINALS.pop(task, None):
        seqio.TaskRegistry.remove(name)
        seqio.TaskRegistry.add_provider(name, original)
    return original or task


def _list_near_names(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names)
    return f" (near: {', '.join(close)})" if close else ""


def _add_mixture(name: str, rates: Mapping[str, float]) -> None:
    tasks = list(seqio.TaskRegistry.names())
    if unknown := [task for task in rates if task not in tasks]:
        raise InputError(
            f"rates: {unknown[0]!r} is no registered Task{_list_near_names(unknown[0], tasks)}"
        )
    if name in tasks:
        raise InputError(f"{name!r} is a Task, which takes no rates; set mixture to a new name")
    seqio.MixtureRegistry.remove(name)
    seqio.MixtureRegistry.add(name, list(rates.items()))


def _rates(provider: Any) -> list[float | None]:
    """Returns the rate of each Task; those of an inner Mixture share its rate.

    Raises:
      InputError: a rate is no number, or an inner Mixture's are all 0.
    """
    tasks = _list_tasks(provider)
    if not isinstance(provider, seqio.Mixture):
        return [None]
    if all(isinstance(rate, TreeRate) for rate in provider.rate_per_task_name.values()):
        return [None] * len(tasks)
    try:
        return [provider.get_rate(task) for task in tasks]
    except Exception as error:
        message = f"mixture {provider.name!r}, rates: {first_line(error)}"
        raise InputError(f"{message}; set each to a number, and one above 0") from error


def _add_byte_task(task: seqio.Task) -> seqio.Task:
    """Registers a Task anew, by the vocabulary of bytes."""
    vocabulary = BytePairVocabulary(byte_tokenizer())
    features = {
        name: dataclasses.replace(feature, vocabulary=vocabulary)
        if isinstance(feature.vocabulary, BytePairVocabulary)
        else feature
        for name, feature in task.output_features.items()
    }
    seqio.TaskRegistry.remove(task.name)
    return seqio.TaskRegistry.add(
        task.name,
        source=task.source,
        preprocessors=task.preprocessors,
        output_features=features,
    )


def _check(task: seqio.Task, tokenizer: Tokenizer | None) -> None:
    if "targets" not in task.output_features:
        features = ", ".join(task.output_features)
        raise InputError(f"task {task.name!r} has the features {features}; expected targets")
    if not set(SPLITS) & set(task.source.splits):
        splits = ", ".join(task.source.splits) or "no split"
        raise InputError(f"task {task.name!r} has {splits}; expected the split train or validation")
    for name, feature in task.output_features.items():
        if name in ("inputs", "targets"):
            _check_vocabulary(task.name, name, feature.vocabulary, tokenizer)


def _check_vocabulary(task: str, name: str, vocabulary: Any, tokenizer: Tokenizer | None) -> None:
    if not isinstance(vocabulary, BytePairVocabulary):
        raise InputError(
            f"task {task!r}: the vocabulary of {name} is a {type(vocabulary).__name__}; expected a "
            "BytePairVocabulary; set it to that of the tokenizer's file"
        )
    if tokenizer is not None and vocabulary != BytePairVocabulary(tokenizer):
        raise InputError(
            f"task {task!r}: the vocabulary of {name} isn't a BytePairVocabulary of the "
            f"tokenizer {tokenizer.hash[:12]}; set both to the same file"
        )
