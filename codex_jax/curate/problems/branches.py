"""Instrumentation of a program: which branches each call of its function takes."""

import ast
from typing import NamedTuple

_HOOK = "_take_branch"
_DRIVER = "_call_and_list_branches"
_PREFIX = f"""_branches = set()
def {_HOOK}(number, condition=True):
    _branches.add(2 * number + bool(condition))
    return condition
"""
_SUFFIX = """
def {driver}(*arguments, **named):
    _branches.clear()
    value = {function}(*arguments, **named)
    if {is_generator}:
        import itertools
        value = list(itertools.islice(value, 1000))
    return value, sorted(_branches)
"""


class Instrumented(NamedTuple):
    """A program whose function `entry_point` returns (value, numbers of the branches taken)."""

    source: str
    entry_point: str
    branches: int  # in all


def instrument(source: str, entry_point: str, *, is_generator: bool = False) -> Instrumented:
    """Returns the program with a note of each branch: conditions, loops, handlers, cases."""
    marker = _Marker()
    tree = marker.visit(ast.parse(source))
    future = [node for node in tree.body if getattr(node, "module", "") == "__future__"]
    tree.body = [node for node in tree.body if node not in future]
    text = "\n".join(
        [
            *map(ast.unparse, future),
            _PREFIX,
            ast.unparse(ast.fix_missing_locations(tree)),
            _SUFFIX.format(driver=_DRIVER, function=entry_point, is_generator=is_generator),
        ]
    )
    return Instrumented(text, _DRIVER, marker.branches)


class _Marker(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = self.branches = 0

    def _call(self, *arguments: ast.expr) -> ast.Call:
        number = ast.Constant(self.count)
        self.count += 1
        self.branches += 2 if arguments else 1
        return ast.Call(ast.Name(_HOOK, ast.Load()), [number, *arguments], [])

    def _visit_test(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        node.test = self._call(node.test)  # type: ignore[attr-defined]  # the callers' nodes have one
        return node

    visit_If = visit_While = visit_IfExp = _visit_test  # noqa: N815 - ast's names

    def _visit_body(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(self._call()))  # type: ignore[attr-defined]  # as above
        return node

    visit_For = visit_ExceptHandler = visit_match_case = _visit_body  # noqa: N815 - ast's names

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Marks the conditions of a comprehension."""
        self.generic_visit(node)
        node.ifs = [self._call(test) for test in node.ifs]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """Marks every operand but the last, which the condition around it marks."""
        self.generic_visit(node)
        node.values = [*map(self._call, node.values[:-1]), node.values[-1]]
        return node
