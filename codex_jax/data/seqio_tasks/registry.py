"""seqio's registry as `data build` reads it: modules, and the members of a Task or Mixture."""

import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import seqio

from codex_jax import InputError
from codex_jax.data.corpus import SourceTree
from codex_jax.data.examples.problem_examples import ProblemFiles
from codex_jax.data.seqio_tasks.cached_task import add_cached_task
from codex_jax.data.seqio_tasks.problem_tasks import add_problem_tasks
from codex_jax.data.seqio_tasks.sources import TreeRate
from codex_jax.data.seqio_tasks.task_examples import SPLITS
from codex_jax.data.seqio_tasks.tasks import add_tree_task
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer


class Member(NamedTuple):
    """A Task of a mixture."""

    name: str
    tree: SourceTree | None  # of a Task whose source is a tree of files
    rate: float | None  # None where a tree's weights say how often its documents occur


def register(
    trees: Mapping[str, SourceTree],
    modules: Sequence[str],
    tokenizer: Tokenizer,
    problems: ProblemFiles | None = None,
) -> None:
    """Registers trees as Tasks by their names, and the problems' Tasks; then imports the modules.

    These may use the Tasks.

    Raises:
      InputError: a name isn't seqio's, a module is missing, or it raises an error.
    """
    for name, tree in trees.items():
        if not name.isidentifier():
            raise InputError(f"corpus {name!r}: expected letters, digits and _ in a Task's name")
        add_tree_task(name, tree, tokenizer)
    if problems:
        add_problem_tasks(problems, tokenizer)
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
        except Exception as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"module {module!r}: {type(error).__name__}: {line}") from error


def add_weighted_mixture(name: str, trees: Mapping[str, SourceTree]) -> None:
    """Registers the Mixture of registered trees by their weights, replacing any of that name."""
    seqio.MixtureRegistry.remove(name)
    seqio.MixtureRegistry.add(name, [(key, TreeRate(tree)) for key, tree in trees.items()])


def read_members(
    name: str, rates: Mapping[str, float], tokenizer: Tokenizer, *, cached: str = ""
) -> list[Member]:
    """Returns the Tasks of a registered Task or Mixture, or of the Mixture that `rates` make.

    Args:
      name: The Task's or Mixture's; a new one where there are rates.
      rates: Task → rate.
      tokenizer: The vocabulary that their features must have.
      cached: Folder of a cache, whose records take the place of the Tasks' sources.

    Raises:
      InputError: the name or a Task is unknown, or a vocabulary isn't `tokenizer`.
    """
    if rates:
        _add_mixture(name, rates)
    tasks = find_tasks(name)
    for task in tasks:
        _check(task, tokenizer)
    member_rates = _rates(seqio.get_mixture_or_task(name), tasks)
    if cached:
        tasks = [add_cached_task(task.name, cached, task.name, tokenizer) for task in tasks]
    return [
        Member(task.name, getattr(task.source, "tree", None), rate)
        for task, rate in zip(tasks, member_rates, strict=True)
    ]


def find_tasks(name: str) -> list[seqio.Task]:
    """Returns the Tasks of a registered Task or Mixture.

    Raises:
      InputError: the name is unknown.
    """
    names = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in names:
        raise InputError(
            f"{name!r} is no registered Task or Mixture{_list_near_names(name, names)}; set modules"
        )
    provider = seqio.get_mixture_or_task(name)
    return list(provider.tasks) if isinstance(provider, seqio.Mixture) else [provider]


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


def _rates(provider: Any, tasks: list[seqio.Task]) -> list[float | None]:
    if not isinstance(provider, seqio.Mixture):
        return [None]
    rates = provider.rate_per_task_name.values()
    if all(isinstance(rate, TreeRate) for rate in rates):
        return [None] * len(tasks)
    return [provider.get_rate(task) for task in tasks]


def _check(task: seqio.Task, tokenizer: Tokenizer) -> None:
    if "targets" not in task.output_features:
        features = ", ".join(task.output_features)
        raise InputError(f"task {task.name!r} has the features {features}; expected targets")
    if not set(SPLITS) & set(task.source.splits):
        splits = ", ".join(task.source.splits) or "no split"
        raise InputError(f"task {task.name!r} has {splits}; expected the split train or validation")
    for name, feature in task.output_features.items():
        if name in ("inputs", "targets") and feature.vocabulary != BytePairVocabulary(tokenizer):
            raise InputError(
                f"task {task.name!r}: the vocabulary of {name} isn't a BytePairVocabulary of the "
                f"tokenizer {tokenizer.hash[:12]}; set both to the same file"
            )
