"""Documents as training text: plain, prose → code, code → prose, or cut for infilling."""

import hashlib
from collections.abc import Iterator

import numpy as np

from codex_jax.data.corpus import SourceTree, is_validation, repeat_count
from codex_jax.data.documents import Document, Example, Pair, Span
from codex_jax.data.examples.pairs import code_to_prose, functions, prose_to_code
from codex_jax.data.examples.row_cutter import RowCutter

_DIRECTIONS = {"prose to code": prose_to_code, "code to prose": code_to_prose}


def render_repeats(
    document: Document, tree: SourceTree, seed: int, cutter: RowCutter, source: str = ""
) -> Iterator[Example]:
    """Yields a document's training texts, each as often as the tree's weight requires.

    Those of the validation split come once. `source`, the tree's name, and `seed` choose the
    documents that a fraction of a weight takes.
    """
    weight = tree.weight_of(document.language)
    repeats = repeat_count(document.path, weight, f"{seed} {source}")
    if is_validation(document.path, tree.validation_share):
        repeats = int(weight > 0)
    for repeat in range(repeats):
        yield from render(document, tree, f"{document.path}#{repeat}", seed, cutter)


def render(
    document: Document, tree: SourceTree, key: str, seed: int, cutter: RowCutter
) -> Iterator[Example]:
    """Yields a document's training texts: its text, or a text for each of its pairs."""
    if tree.render_as == "code":
        texts = _render_code(document.text, tree, example_rng(seed, key), cutter)
        for number, spans in enumerate(texts):
            yield Example(f"{key}.{number}" if number else key, document.language, spans)
        return
    for number, pair in enumerate(_pairs(document)):
        yield Example(f"{key}.{number}", pair.language, _DIRECTIONS[tree.render_as](pair))


def _render_code(
    text: str, tree: SourceTree, rng: np.random.Generator, cutter: RowCutter
) -> Iterator[tuple[Span, ...]]:
    if rng.random() < tree.infilling:
        yield from cutter.infill(text, rng)
    else:
        yield (Span(text),)


def _pairs(document: Document) -> Iterator[Pair]:
    if document.pairs:
        return (pair for pair in document.pairs if pair.prose)
    return functions(document.text, document.language)


def example_rng(seed: int, key: str) -> np.random.Generator:
    """Returns randomness that depends on the example alone, not on its index in the corpus."""
    digest = hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest))
