"""Moves a stretch of a file to column 0 by its syntax tree, never inside string literals."""

from collections.abc import Iterator

import tree_sitter

_STRINGS = ("string", "heredoc", "nowdoc", "template_substitution")
_VERBATIM = {"text_block", "raw_string_literal", "verbatim_string_literal"}


def dedent(node: tree_sitter.Node, content: bytes, span: tuple[int, int]) -> str:
    """Returns the bytes of `span` in `node`, without the indentation of the node's first line."""
    line_start = content.rfind(b"\n", 0, node.start_byte) + 1
    before = content[line_start : node.start_byte]
    indent = before[: len(before) - len(before.lstrip())]
    strings = list(_multiline_strings(node))
    parts, position = [], span[0]
    for line in content[span[0] : span[1]].splitlines(keepends=True):
        starts_line = content[position - 1 : position] == b"\n"
        is_code = not any(start < position < end for start, end in strings)
        parts.append(_strip_prefix(line, indent) if starts_line and is_code else line)
        position += len(line)
    return b"".join(parts).decode()


def _strip_prefix(line: bytes, indent: bytes) -> bytes:
    """Removes as much of `indent` as the line begins with; inside brackets it may be less."""
    common = 0
    while common < min(len(indent), len(line)) and line[common] == indent[common]:
        common += 1
    return line[common:]


def _multiline_strings(node: tree_sitter.Node) -> Iterator[tuple[int, int]]:
    stack = [node]
    while stack:
        node = stack.pop()
        if node.type in _VERBATIM or any(name in node.type for name in _STRINGS):
            if node.start_point.row != node.end_point.row:
                yield node.start_byte, node.end_byte
        else:
            stack.extend(node.children)
