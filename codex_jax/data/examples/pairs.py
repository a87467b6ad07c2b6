"""Prose matched to code, and both directions of it as training text.

Prose → code is what Codex reads; code → prose is Codex-D's (paper, section 5), which learns on the
docstring alone. Functions come with their docstring or the comment just above them.
"""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator

import tree_sitter

from codex_jax.data.languages import LANGUAGES, comment_out, parser_of

_FUNCTIONS = {
    "function_definition",
    "function_declaration",
    "method_definition",
    "method_declaration",
    "function_item",
    "method",
    "singleton_method",
    "subroutine_declaration_statement",
    "function_definition_statement",
}
_WRAPPERS = {"export_statement"}
_COMMENTS = {"comment", "line_comment", "block_comment"}
_MARKS = re.compile(r"^\s*(?:/\*\*?|\*/|\*|//[/!]?|#+!?|--)?[ \t]?|\s*\*/\s*$")
_SHORTEST = 20  # characters of prose; less says nothing


@dataclasses.dataclass(frozen=True)
class Part:
    """A stretch of training text. `special` names a special token; weight is of the loss."""

    text: str
    weight: float = 1.0
    special: bool = False


@dataclasses.dataclass(frozen=True)
class Pair:
    """What is wanted, in words, and code that does it. Python's `code` lacks the docstring."""

    prose: str
    code: str
    language: str
    docstring: bool = False  # the prose belongs behind the signature
    head: int = 0  # length of that signature in `code`, in characters


def prose_to_code(pair: Pair) -> tuple[Part, ...]:
    """Training text that goes from the words to the code; all of it counts."""
    if not pair.docstring:
        return (Part(comment_out(pair.prose, pair.language) + pair.code.rstrip() + "\n"),)
    head, body = pair.code[: pair.head], pair.code[pair.head :].removeprefix("\n")
    return (Part(f"{head}\n{_docstring(pair)}{body.rstrip()}\n"),)


def code_to_prose(pair: Pair) -> tuple[Part, ...]:
    """The code, weighing nothing, then the words."""
    words = _docstring(pair) if pair.docstring else comment_out(pair.prose, pair.language)
    return (Part(pair.code.rstrip() + "\n", weight=0.0), Part(words))


def _docstring(pair: Pair) -> str:
    text = pair.prose.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return textwrap.indent(f'"""{text}\n"""\n' if "\n" in text else f'"""{text}"""\n', "    ")


def functions(text: str, language: str) -> Iterator[Pair]:
    """The functions of a file that have something to say, outermost first."""
    content = text.encode()
    waiting = [parser_of(language).parse(content).root_node]
    while waiting:
        node = waiting.pop()
        waiting.extend(reversed(node.children))
        if node.type in _FUNCTIONS and not node.has_error:
            pair = _python(node) if language == "Python" else _commented(node, content, language)
            if pair and len(pair.prose) >= _SHORTEST:
                yield pair


def _python(node: tree_sitter.Node) -> Pair | None:
    body = node.child_by_field_name("body")
    first = body.named_children[0] if body and body.named_children else None
    if first is None or len(body.named_children) < 2:
        return None
    string = first.named_children[0] if first.type == "expression_statement" else first
    if string.type != "string":
        return None
    inner = "".join(c.text.decode() for c in string.children if c.type == "string_content")
    indent = " " * node.start_point.column
    head = node.text[: body.start_byte - node.start_byte].decode().rstrip()
    rest = node.text[first.end_byte - node.start_byte :].decode()
    code = textwrap.dedent(indent + head + rest)
    prose = inspect.cleandoc(inner)
    return Pair(prose, code, "Python", docstring=True, head=len(textwrap.dedent(indent + head)))


def _commented(node: tree_sitter.Node, content: bytes, language: str) -> Pair | None:
    start, comments = node, []
    if node.parent and node.parent.type in _WRAPPERS:
        start = node = node.parent
    while (above := start.prev_sibling) is not None and above.type in _COMMENTS:
        if start.start_point.row - above.end_point.row > 1:
            break
        comments.append(above.text.decode())
        start = above
    lines = [line for comment in reversed(comments) for line in comment.splitlines()]
    prose = "\n".join(_MARKS.sub("", line).rstrip() for line in lines).strip()
    code = textwrap.dedent(" " * node.start_point.column + node.text.decode())
    return Pair(prose, code, language) if prose and language in LANGUAGES else None
