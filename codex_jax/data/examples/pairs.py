"""Prose matched to code, and both directions of it as training text.

Prose → code is what Codex reads; code → prose is Codex-D's (paper, section 5), which learns on the
docstring alone. Functions come with their docstring or the comment just above them.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator

import tree_sitter

from codex_jax.data.documents import Pair, Span
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


def prose_to_code(pair: Pair) -> tuple[Span, ...]:
    """Returns training text from the words to the code; all of it counts."""
    if not pair.docstring:
        return (Span(comment_out(pair.prose, pair.language) + pair.code.rstrip() + "\n"),)
    head, body = pair.code[: pair.head], pair.code[pair.head :].removeprefix("\n")
    return (Span(f"{head}\n{_docstring(pair)}{body.rstrip()}\n"),)


def code_to_prose(pair: Pair) -> tuple[Span, ...]:
    """Returns the code, weighing nothing, then the words."""
    words = _docstring(pair) if pair.docstring else comment_out(pair.prose, pair.language)
    return (Span(pair.code.rstrip() + "\n", weight=0.0), Span(words))


def _docstring(pair: Pair) -> str:
    text = pair.prose.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return textwrap.indent(f'"""{text}\n"""\n' if "\n" in text else f'"""{text}"""\n', "    ")


def functions(text: str, language: str) -> Iterator[Pair]:
    """Yields a pair for each function that has a docstring or comment, outermost first."""
    content = text.encode()
    stack = [parser_of(language).parse(content).root_node]
    while stack:
        node = stack.pop()
        stack.extend(reversed(node.children))
        if node.type in _FUNCTIONS and not node.has_error:
            pair = _python(node) if language == "Python" else _commented(node, language)
            if pair and len(pair.prose) >= _SHORTEST:
                yield pair


def _python(node: tree_sitter.Node) -> Pair | None:
    body = node.child_by_field_name("body")
    if body is None or len(body.named_children) < 2:
        return None
    first = body.named_children[0]
    string = first.named_children[0] if first.type == "expression_statement" else first
    if string.type != "string":
        return None
    inner = "".join(_text(child) for child in string.children if child.type == "string_content")
    indent = " " * node.start_point.column
    head = (node.text or b"")[: body.start_byte - node.start_byte].decode().rstrip()
    rest = (node.text or b"")[first.end_byte - node.start_byte :].decode()
    code = textwrap.dedent(indent + head + rest)
    prose = inspect.cleandoc(inner)
    return Pair(prose, code, "Python", docstring=True, head=len(textwrap.dedent(indent + head)))


def _commented(node: tree_sitter.Node, language: str) -> Pair | None:
    start, comments = node, []
    if node.parent and node.parent.type in _WRAPPERS:
        start = node = node.parent
    while (above := start.prev_sibling) is not None and above.type in _COMMENTS:
        if start.start_point.row - above.end_point.row > 1:
            break
        comments.append(_text(above))
        start = above
    lines = [line for comment in reversed(comments) for line in comment.splitlines()]
    prose = "\n".join(_MARKS.sub("", line).rstrip() for line in lines).strip()
    code = textwrap.dedent(" " * node.start_point.column + _text(node))
    return Pair(prose, code, language) if prose and language in LANGUAGES else None


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()
