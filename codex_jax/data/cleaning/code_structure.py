"""Python functions by structure: without names, annotations, comments and docstrings.

Two functions are of one structure if the body of one can be made of the other's by other names for
what isn't Python's own, by annotations, docstrings and layout. Parameters may differ: a function
may have become a method.
"""

import ast
import builtins
import hashlib
import warnings
from collections.abc import Iterator

_SMALLEST = 6  # nodes of a body: less is anyone's code
_TRIVIAL = {"0", "1", "2", "''", "None", "True", "False"}  # constants that say nothing
_OWN_NAMES = frozenset(dir(builtins))
_IGNORED = {"ctx", "kind", "type_comment", "annotation", "returns", "type_params", "decorator_list"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Outline = tuple[str, ...]  # types of statements


def functions_of(source: str) -> list[Function]:
    """Lists the functions of a program, inner ones too; none if it doesn't parse."""
    if "def " not in source:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    return list(_functions(tree))


def _functions(tree: ast.Module) -> Iterator[Function]:
    stack: list[ast.AST] = [tree]
    while stack:  # statements alone: expressions hold no function but lambdas
        node = stack.pop()
        if isinstance(node, Function):
            yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                stack.extend(inner)


def outline(function: Function) -> Outline:
    """Returns what is cheap to compare: functions of one structure have the same outline."""
    return tuple(
        name
        for statement in _statements(function.body)
        for name in (
            "Assign" if isinstance(statement, ast.AnnAssign) else type(statement).__name__,
            *(type(each).__name__ for each in getattr(statement, "body", ())[:1]),
        )
    )


def structure(function: Function) -> bytes:
    """Returns a digest of the function's structure; b"" where it is too small or deep to tell."""
    names: dict[str, int] = {}
    words: list[str] = []
    try:
        for statement in _statements(function.body):
            words.extend(_words(statement, names))
        size = sum(map(_size, function.body))
    except RecursionError:  # an expression of a thousand terms
        return b""
    if size < _SMALLEST:
        return b""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Lists statements, but for strings, which are docstrings and comments, and `pass`."""
    return [
        each
        for each in body
        if not isinstance(each, ast.Pass)
        and not (
            isinstance(each, ast.Expr)
            and isinstance(each.value, ast.Constant)
            and isinstance(each.value.value, str)
        )
    ]


def _words(node: ast.AST, names: dict[str, int]) -> Iterator[str]:
    """Yields a node's type and fields, depth first; names by the order in which they occur."""
    if isinstance(node, ast.AnnAssign):
        if node.value is None:
            return
        node = ast.Assign(targets=[node.target], value=node.value)
    yield type(node).__name__
    for field, value in ast.iter_fields(node):
        if field in _IGNORED:
            continue
        has_docstring = isinstance(node, Function | ast.ClassDef) and field == "body"
        items = _statements(value) if has_docstring else value
        for item in items if isinstance(items, list) else [items]:
            if isinstance(item, ast.AST):
                yield from _words(item, names)
            elif isinstance(item, str) and _is_name(node, field):
                yield _rename(item, names)
            elif item is not None:
                yield repr(item)
    yield "."


def _size(statement: ast.stmt) -> int:
    """Counts nodes; a method's name counts twice more, a constant of its own once more."""
    if not _statements([statement]):
        return 0
    size = 0
    for node in ast.walk(statement):
        size += not isinstance(node, ast.expr_context)
        size += 2 * isinstance(node, ast.Attribute)
        size += isinstance(node, ast.Constant) and repr(node.value) not in _TRIVIAL
    return size


def _is_name(node: ast.AST, field: str) -> bool:
    return (field, type(node)) in _NAME_FIELDS


_NAME_FIELDS = {
    ("id", ast.Name),
    ("arg", ast.arg),
    ("arg", ast.keyword),
    ("name", ast.FunctionDef),
    ("name", ast.AsyncFunctionDef),
    ("name", ast.ClassDef),
    ("name", ast.ExceptHandler),
    ("names", ast.Global),
    ("names", ast.Nonlocal),
    ("asname", ast.alias),
}


def _rename(name: str, names: dict[str, int]) -> str:
    return name if name in _OWN_NAMES else f"_{names.setdefault(name, len(names))}"
