"""The members of a build: Tasks whose sources are trees, and other Tasks of seqio's registry."""

import dataclasses
from collections.abc import Mapping, Sequence

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.cleaning.problem_files import read_problems
from codex_jax.data.corpus import Corpus, SourceTree, read_corpus
from codex_jax.data.examples.problem_examples import ProblemFiles
from codex_jax.data.seqio_tasks.lazy_import import load_registry, load_task_examples
from codex_jax.list_settings import split_names
from codex_jax.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blend:
    """Members by name: trees that the process pool reads, and Tasks that seqio reads.

    Args:
      trees: Directory trees.
      task_hashes: Other Tasks → hash of their content and their modules.
      rates: Shares of the tokens by member; empty where weights say how often documents occur.
      modules: Names of the modules.
      module_hashes: Files of the modules → hash of their text.
      corpus: Trees by name that the modules may refer to.
    """

    trees: dict[str, SourceTree]
    task_hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    modules: Sequence[str] = ()
    module_hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    corpus: Mapping[str, SourceTree] = dataclasses.field(default_factory=dict)


def read_blend(
    corpus: Corpus | None,
    mixture: str,
    modules: Sequence[str] | str,
    tokenizer: Tokenizer | None,
    *,
    rates: Mapping[str, float] | None = None,
    cached: str = "",
    problems: ProblemFiles | None = None,
) -> Blend:
    """Returns the members of a Task or Mixture.

    Each tree of `corpus` is a Task of that name. Without `mixture`, and where no module registers
    it, the Mixture is that of `rates`, or else of all trees by their weights.

    Args:
      corpus: Named trees.
      mixture: Name of a Task or Mixture.
      modules: Modules that register it, or Tasks of it.
      tokenizer: The vocabulary of all Tasks; None where it is yet to be learnt.
      rates: Task → share of the tokens.
      cached: Folder of a cache, whose records take the place of the Tasks' sources.
      problems: Files of which the Tasks codex_s and codex_d are.

    Raises:
      InputError: neither corpus nor mixture is set, or one of them can't be read.
    """
    modules = split_names("modules", modules)
    if problems and not (mixture or rates):
        raise InputError(
            "problems are set, but no mixture; set mixture to codex_s or codex_d, or set rates"
        )
    if corpus is None and not (mixture or problems):
        raise InputError(
            "neither corpus nor mixture is set; set corpus (trees of files) or mixture (a name of "
            "seqio's)"
        )
    if modules and not mixture:
        raise InputError("modules are set, but no mixture; set mixture to a name of theirs")
    trees = {} if corpus is None else read_corpus(corpus)
    if trees and not (modules or cached or problems):
        return _blend_trees(trees, mixture, rates or {})
    return _blend_tasks(trees, mixture, modules, tokenizer, rates or {}, cached, problems)


def _blend_trees(trees: dict[str, SourceTree], mixture: str, rates: Mapping[str, float]) -> Blend:
    """Returns the members of a Task or Mixture of trees alone, for which seqio isn't loaded."""
    if mixture in trees:
        if rates:
            raise InputError(f"{mixture!r} is a Task, which takes no rates; set mixture to a name")
        return Blend(trees={mixture: trees[mixture]})
    if unknown := [name for name in rates if name not in trees]:
        names = ", ".join(trees)
        raise InputError(f"rates: no Task {unknown[0]!r} in corpus; expected of {names}")
    check_rates(mixture, rates)
    return Blend(trees={name: trees[name] for name in rates or trees}, rates=dict(rates))


def check_rates(mixture: str, rates: Mapping[str, float]) -> None:
    """Refuses rates that are no numbers from 0, or all 0.

    Raises:
      InputError: they are.
    """
    for name, rate in rates.items():
        if not 0 <= rate < float("inf"):
            raise InputError(
                f"mixture {mixture!r}: the rate of {name} is {rate}; set it finite, ≥ 0"
            )
    if rates and not any(rates.values()):
        raise InputError(f"mixture {mixture!r}: all rates are 0; set one above 0")


def check_cleaning(cleaning: Cleaning, blend: Blend, cached: str = "") -> None:
    """Refuses a cleaning that nothing heeds; a cache's is compared with it elsewhere.

    Raises:
      InputError: it is set, and no member is a tree of files; or a problem file is unusable.
    """
    if not (blend.trees or cached) and cleaning != Cleaning():
        raise InputError(
            "cleaning is set, but it holds for trees of files, and none is read here; unset it, "
            "and clean in the Task's preprocessors"
        )
    for path in cleaning.decontaminate_against:
        for _ in read_problems(path):  # read here, before anything is written
            pass


def _blend_tasks(
    corpus: dict[str, SourceTree],
    mixture: str,
    modules: Sequence[str],
    tokenizer: Tokenizer | None,
    rates: Mapping[str, float],
    cached: str,
    problems: ProblemFiles | None,
) -> Blend:
    registry, examples = load_registry(), load_task_examples()
    registry.register(corpus, modules, tokenizer, problems)
    name = mixture or "corpus"
    if corpus and not modules and not rates and mixture not in corpus:
        registry.add_weighted_mixture(name, corpus)
    members = registry.read_members(name, rates, tokenizer, cached=cached)
    trees = {member.name: member.tree for member in members if member.tree}
    tasks = [member.name for member in members if not member.tree]
    member_rates = {member.name: member.rate for member in members if member.rate is not None}
    check_rates(mixture, member_rates)
    return Blend(
        trees=read_corpus(trees) if trees else {},
        task_hashes={name: examples.hash_task(name, modules) for name in tasks},
        rates=member_rates,
        modules=modules,
        module_hashes=examples.hash_modules(modules),
        corpus=corpus,
    )
