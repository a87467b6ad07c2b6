"""Documents, pairs of prose and code, and the training texts made of them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Pair:
    """A description in words, and code that does it. Python's `code` lacks the docstring."""

    prose: str
    code: str
    language: str
    text: str = ""  # the function with its docstring in place; "" where prose goes above the code
    docstring: str = ""  # that docstring as its file spells it, with its indentation


@dataclasses.dataclass(frozen=True)
class Document:
    """The text of a file; `path` is relative to its tree, with "/"."""

    path: str
    text: str
    language: str
    pairs: tuple[Pair, ...] = ()
    size: int = 0  # of the file, in bytes


@dataclasses.dataclass(frozen=True)
class Span:
    """A stretch of training text. `special` names a special token; `weight` is the loss's."""

    text: str
    weight: float = 1.0
    special: bool = False


@dataclasses.dataclass(frozen=True)
class Example:
    """A training text in spans; `key` names it and seeds all its random choices."""

    key: str
    language: str
    spans: tuple[Span, ...]
