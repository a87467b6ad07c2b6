"""The members of a build: a corpus's trees, or the Tasks of a Mixture of seqio's registry."""

import dataclasses
from collections.abc import Mapping, Sequence

from codex_jax import InputError
from codex_jax.data.corpus import Corpus, SourceTree, read_corpus
from codex_jax.data.seqio_tasks.lazy_import import load_registry
from codex_jax.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blend:
    """Members by name: trees that the process pool reads, and Tasks that seqio reads.

    Args:
      trees: Directory trees.
      task_hashes: Other Tasks → hash of their content and their modules.
      rates: Shares of the tokens by member; empty where weights say how often documents occur.
      module_hashes: Files of the modules → hash of their text.
    """

    trees: dict[str, SourceTree]
    task_hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    module_hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_blend(
    corpus: Corpus | None, mixture: str, modules: Sequence[str] | str, tokenizer: Tokenizer
) -> Blend:
    """Returns the members of a corpus, or of the mixture that one of `modules` registers.

    Raises:
      InputError: both or neither is set, or one of them can't be read.
    """
    if (corpus is None) == (not mixture):
        count = "neither corpus nor mixture is" if not mixture else "corpus and mixture are both"
        raise InputError(f"{count} set; set corpus (trees of files) or mixture (a name of seqio's)")
    if corpus is not None:
        if modules:
            raise InputError("modules are set, but no mixture; set mixture to a name of theirs")
        return Blend(trees=read_corpus(corpus))
    modules = (modules,) if isinstance(modules, str) else tuple(modules)
    registry = load_registry()
    members = registry.read_members(mixture, modules, tokenizer)
    trees = {member.name: member.tree for member in members if member.tree}
    tasks = [member.name for member in members if not member.tree]
    return Blend(
        trees=read_corpus(trees) if trees else {},
        task_hashes={name: registry.hash_task(name, modules, tokenizer.eos_id) for name in tasks},
        rates={member.name: member.rate for member in members if member.rate is not None},
        module_hashes=registry.hash_modules(modules),
    )
