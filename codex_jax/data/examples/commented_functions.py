"""Functions with the comment above them, in every language but Python, by syntax trees.

Attributes and decorators may stand between comment and function, and templates, exports, variable
declarations (arrow functions) or visibility calls (Ruby) around it. A pair's text is parsed again:
where it isn't a program by itself, it gets its class around it, and is no pair unless it then
parses and its comment is read as the same prose.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import tree_sitter

from codex_jax.data.documents import Pair
from codex_jax.data.examples.dedent import dedent
from codex_jax.data.languages import comment_out, parser_of

_FUNCTIONS = {
    "compact_constructor_declaration",
    "constructor_declaration",
    "conversion_operator_declaration",
    "destructor_declaration",
    "function_declaration",
    "function_definition",
    "function_definition_statement",
    "function_item",
    "generator_function_declaration",
    "local_function_statement",
    "method",
    "method_declaration",
    "method_definition",
    "operator_declaration",
    "singleton_method",
    "subroutine_declaration_statement",
}
# Without a body they are declarations: of an interface, abstract, or written in assembly.
_MAY_LACK_BODY = {name for name in _FUNCTIONS if name.endswith("_declaration")}
# Functions that are pairs only where a name is bound to them.
_VALUES = {"arrow_function", "function_expression", "generator_function", "lambda_expression"}
_VALUES |= {"func_literal", "anonymous_function", "anonymous_subroutine_expression"}
_VALUES |= {"anonymous_function_creation_expression"}
_BINDINGS = {"variable_declarator", "public_field_definition", "field_definition", "pair"}
_BINDINGS |= {"assignment_expression", "init_declarator", "var_spec", "short_var_declaration"}
_WRAPPERS = {
    "argument_list",
    "call",
    "declaration",
    "export_statement",
    "expression_list",
    "expression_statement",
    "lexical_declaration",
    "template_declaration",
    "var_declaration",
    "variable_declaration",
} | _BINDINGS
_ATTRIBUTES = {"attribute_item", "decorator"}
_COMMENTS = {"comment", "line_comment", "block_comment", "pod"}
_CLASSES = {"class_declaration", "class_definition", "class", "class_specifier", "impl_item"}
_CLASSES |= {"struct_declaration", "trait_declaration", "enum_declaration", "record_declaration"}
_CLASSES |= {"abstract_class_declaration", "interface_declaration", "struct_specifier"}

# A method that calls its parent's needs one (JavaScript, TypeScript, PHP, Java).
_HERITAGE = {"class_heritage", "base_clause", "superclass"}

_MARKS = re.compile(r"^\s*(?:/\*\*?|\*/|\*|//[/!]?|#+|--)?[ \t]?|\s*\*/\s*$")
_POD = re.compile(r"^=(?:cut|pod|begin|end|over|back|encoding)\b.*|^=(?:head\d|item)[ \t]*")
_REFERENCE = re.compile(r'<(?:see|seealso|paramref|typeparamref)\s+\w+="([^"]*)"\s*/>')
_NAMED = re.compile(r'<(?:param|typeparam|exception)\s+\w+="([^"]*)"\s*>')
_TAG = re.compile(r"</?[a-z]+\b[^<>]*>")


class _Function(NamedTuple):
    """A function with its comment: nodes, from its first attribute on, and prose."""

    node: tree_sitter.Node  # with all that wraps it
    start: int  # byte at which its first attribute begins
    prose: str


def commented_pairs(root: tree_sitter.Node, content: bytes, language: str) -> Iterator[Pair]:
    """Yields a pair for each commented function whose text parses, outermost first."""
    for function in _functions(root, language):
        if pair := _pair(function, content, language):
            yield pair


def _functions(root: tree_sitter.Node, language: str) -> Iterator[_Function]:
    stack = [root]
    while stack:
        node = stack.pop()
        stack.extend(reversed(node.children))
        if node.type not in _FUNCTIONS | _VALUES or node.has_error:
            continue
        if node.type in _VALUES and not _is_bound(node):
            continue
        if node.type in _MAY_LACK_BODY and node.child_by_field_name("body") is None:
            continue
        if (function := _with_comment(_outermost(node), language)).prose:
            yield function


def _is_bound(node: tree_sitter.Node) -> bool:
    """Tells whether a function is the value of a name, a field or a key."""
    parent = node.parent
    if parent is not None and parent.type == "expression_list":
        parent = parent.parent
    return parent is not None and parent.type in _BINDINGS


def _outermost(node: tree_sitter.Node) -> tree_sitter.Node:
    """Returns the node with all that belongs to it: export, template, declaration."""
    while (parent := node.parent) is not None and parent.type in _WRAPPERS:
        node = parent
    return node


def _with_comment(node: tree_sitter.Node, language: str) -> _Function:
    start = node
    comments: list[tree_sitter.Node] = []
    while (above := _node_above(start)) is not None and above.type in _ATTRIBUTES:
        start = above
    below = start
    while above is not None and above.type in _COMMENTS and not _is_trailing(above):
        gap = below.start_point.row - above.end_point.row
        if gap > 1 and above.type != "pod":
            break
        comments.append(above)
        below, above = above, _node_above(above)
    return _Function(node, start.start_byte, _prose(comments[::-1], language))


def _node_above(node: tree_sitter.Node) -> tree_sitter.Node | None:
    """Returns the node before this one; Ruby's first comment of a class is outside its body."""
    parent = node.parent
    if node.prev_sibling is None and parent is not None and parent.type == "body_statement":
        return parent.prev_sibling
    return node.prev_sibling


def _is_trailing(comment: tree_sitter.Node) -> bool:
    """Tells whether code precedes the comment in its line."""
    before = comment.prev_sibling
    return before is not None and before.end_point.row == comment.start_point.row


def _prose(comments: list[tree_sitter.Node], language: str) -> str:
    lines: list[str] = []
    for comment in comments:
        text = (comment.text or b"").decode()
        if comment.type == "pod":
            lines += [_POD.sub("", line) for line in text.splitlines()]
        elif not text.startswith("#!"):
            lines += [_MARKS.sub("", line) for line in text.splitlines()]
    if language == "C#":
        lines = [_TAG.sub("", _NAMED.sub(r"\1: ", _REFERENCE.sub(r"\1", x))) for x in lines]
    # A ruler has no letter.
    lines = [line.rstrip() if re.search(r"\w", line) else "" for line in lines]
    return "\n".join(lines).strip()


def _pair(function: _Function, content: bytes, language: str) -> Pair | None:
    code = dedent(function.node, content, (function.start, function.node.end_byte)).rstrip() + "\n"
    comment = comment_out(function.prose, language)
    opening = "<?php\n" if language == "PHP" else ""
    for head, tail in _surroundings(function.node):
        text = f"{opening}{head}{comment}{code}{tail}"
        if _reads_as(text, function.prose, language):
            return Pair(function.prose, f"{opening}{head}{code}{tail}", language, text, comment)
    return None


def _surroundings(node: tree_sitter.Node) -> Iterator[tuple[str, str]]:
    """Yields what may stand around a function: nothing, its object, its class, or its record."""
    if node.parent is not None and node.parent.type == "object":
        if name := _object_name(node.parent):
            yield f"const {name} = {{\n", "};\n"
        return
    yield "", ""
    if name := _class_name(node):
        yield f"class {name} {{\n", "}\n"
        yield f"record {name.split()[0]}() {{\n", "}\n"


def _object_name(node: tree_sitter.Node) -> str:
    """Returns the name that is bound to an object, or the last part of it."""
    parent = node.parent
    fields = ("name", "left", "key")
    names = [parent.child_by_field_name(field) for field in fields] if parent else []
    text = next((each.text.decode() for each in names if each and each.text), "")
    return (re.findall(r"[A-Za-z_$][\w$]*", text) or [""])[-1]


def _class_name(node: tree_sitter.Node) -> str:
    """Returns the name of the class around a function, with what it extends; "" outside of one."""
    parent = node.parent
    while parent is not None and parent.type not in _CLASSES:
        parent = parent.parent
    name = parent.child_by_field_name("name") if parent else None
    if parent is None or name is None:
        return ""
    bases = [child.text for child in parent.children if child.type in _HERITAGE]
    return b" ".join(filter(None, (name.text, *bases))).decode()


def _reads_as(text: str, prose: str, language: str) -> bool:
    """Tells whether the text parses, and its first commented function has this prose."""
    root = parser_of(language).parse(text.encode()).root_node
    first = None if root.has_error else next(_functions(root, language), None)
    return first is not None and first.prose == prose and not _undeclared_names(root)


def _undeclared_names(root: tree_sitter.Node) -> set[bytes]:
    """Returns JavaScript's private names that the text uses but doesn't declare: no program."""
    used: set[bytes] = set()
    declared: set[bytes] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        stack.extend(node.children)
        if node.type == "private_property_identifier":
            parent = node.parent
            is_field = parent is not None and parent.type in _BINDINGS | _FUNCTIONS
            (declared if is_field else used).add(node.text or b"")
    return used - declared
