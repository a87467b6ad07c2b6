"""Prose matched to code, and both directions of it as training text.

Prose → code is what Codex reads; code → prose is Codex-D's (paper, section 5), which learns on the
docstring alone. Functions come with their docstring or the comment just above them.
"""

from collections.abc import Iterator

from codex_jax.data.documents import Pair, Span
from codex_jax.data.examples.commented_functions import commented_pairs
from codex_jax.data.examples.python_functions import python_pairs
from codex_jax.data.languages import comment_out, parser_of

_SHORTEST = 20  # characters of prose; less says nothing


def prose_to_code(pair: Pair) -> tuple[Span, ...]:
    """Returns training text from the words to the code; all of it counts."""
    commented = comment_out(pair.prose, pair.language) + pair.code.rstrip() + "\n"
    return (Span(pair.text or commented),)


def code_to_prose(pair: Pair) -> tuple[Span, ...]:
    """Returns the code, weighing nothing, then the words."""
    words = pair.docstring or comment_out(pair.prose, pair.language)
    return (Span(pair.code.rstrip() + "\n", weight=0.0), Span(words))


def functions(text: str, language: str) -> Iterator[Pair]:
    """Yields a pair for each function that has a docstring or comment, outermost first."""
    content = text.encode()
    root = parser_of(language).parse(content).root_node
    if language == "Python":
        pairs = python_pairs(root, content)
    else:
        pairs = commented_pairs(root, content, language)
    return (pair for pair in pairs if len(pair.prose) >= _SHORTEST)
