"""Constants of a module: whether their values may change, and their layout in a problem."""

import ast

from codex_jax.curate.packages import purity

ASSIGNMENT = ast.Assign | ast.AnnAssign
_ITERATOR_FUNCTIONS = """
    iter map filter zip reversed enumerate count cycle repeat chain from_iterable accumulate starmap
    takewhile dropwhile islice groupby pairwise product permutations combinations finditer
"""
_ITERATORS = frozenset(_ITERATOR_FUNCTIONS.split())
_IMMUTABLE = ast.Constant | ast.JoinedStr | ast.UnaryOp | ast.Compare | ast.Lambda
_IMMUTABLE_CALLS = ("bool", "bytes", "compile", "float", "int", "join", "object", "str")


def is_changeable(node: ast.AST | None) -> bool:
    """Whether a statement binds, or an expression is, what a function that gets it may change."""
    if isinstance(node, ASSIGNMENT):
        return is_changeable(node.value)
    if isinstance(node, ast.Tuple):
        return any(map(is_changeable, node.elts))
    if isinstance(node, ast.BinOp):
        return is_changeable(node.left) or is_changeable(node.right)
    if isinstance(node, ast.Call):
        return purity.called_name(node) not in _IMMUTABLE_CALLS
    return isinstance(node, ast.expr) and not isinstance(node, _IMMUTABLE)


def is_used_up(value: ast.expr | None) -> bool:
    """Whether the value of a constant yields its items once."""
    is_call = isinstance(value, ast.Call) and purity.called_name(value) in _ITERATORS
    return is_call or isinstance(value, ast.GeneratorExp)


def join_lines(texts: list[str]) -> list[str]:
    """Joins neighboring constants of one line, so that no blank lines part them."""
    blocks: list[str] = []
    for text in texts:
        is_line = text.count("\n") == 1
        if is_line and blocks and blocks[-1].count("\n") < 20 and _is_lines(blocks[-1]):
            blocks[-1] += text
        else:
            blocks.append(text)
    return blocks


def _is_lines(block: str) -> bool:
    return all(
        "=" in line and not line.startswith((" ", "def", "class", "@"))
        for line in block.splitlines()
    )
