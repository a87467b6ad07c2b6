"""Documents as training text: plain, prose → code, code → prose, or cut for infilling."""

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

from codex_jax.data.cleaning.cleaner import Cleaner, Document, Tally
from codex_jax.data.corpus import Tree, repeats
from codex_jax.data.examples.fim import infill
from codex_jax.data.examples.pairs import Pair, Part, code_to_prose, functions, prose_to_code

_DIRECTIONS = {"prose to code": prose_to_code, "code to prose": code_to_prose}


@dataclasses.dataclass(frozen=True)
class Example:
    """One training text; `key` names it and seeds all its random choices."""

    key: str
    language: str
    parts: tuple[Part, ...]


def examples(tree: Tree, cleaner: Cleaner, tally: Tally, seed: int, what: str) -> Iterator[Example]:
    """The tree's training texts, each as often as its weight asks."""
    for document in cleaner.documents(tree, tally, what):
        for again in range(repeats(document.path, tree.rate(document.language))):
            yield from render(document, tree, f"{document.path}#{again}", seed)


def render(document: Document, tree: Tree, key: str, seed: int) -> Iterator[Example]:
    """One document's training texts: itself, or one for each of its pairs."""
    if tree.kind == "code":
        yield Example(key, document.language, _code(document.text, tree, stateless(seed, key)))
        return
    for number, pair in enumerate(_pairs(document)):
        parts = _DIRECTIONS[tree.kind](pair)
        yield Example(f"{key}.{number}", pair.language, parts)


def _code(text: str, tree: Tree, rng: np.random.Generator) -> tuple[Part, ...]:
    return infill(text, rng) if rng.random() < tree.infilling else (Part(text),)


def _pairs(document: Document) -> Iterator[Pair]:
    if document.pairs:
        return (pair for pair in document.pairs if pair.prose)
    return functions(document.text, document.language)


def stateless(seed: int, key: str) -> np.random.Generator:
    """Randomness that depends on the example alone, not on its place in the corpus."""
    digest = hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest))
