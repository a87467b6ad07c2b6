"""Lines that the recorder wrote, read as cases; the process that wrote them is not trusted."""

import ast
import json
from collections.abc import Iterable
from typing import Any

from codex_jax.curate.execution import Call
from codex_jax.curate.inputs import literals
from codex_jax.curate.packages.modules import Package, top_level_functions
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.problems.growth import parameters

_MOST_CASES = 40
_MAX_LINE = 20_000

Function = tuple[str, str]  # module, name


def read_cases(lines: Iterable[bytes], package: Package) -> dict[Function, list[Case]]:
    """Returns (module, name) → cases of the package's functions; leaves other lines out."""
    functions = top_level_functions(package)
    cases: dict[Function, list[Case]] = {}
    for line in lines:
        try:
            fields = json.loads(line) if len(line) <= _MAX_LINE else {}
            function = fields["module"], fields["name"]
            if (node := functions.get(function)) is None:
                continue
            listed = cases.setdefault(function, [])
            if len(listed) < _MOST_CASES:
                listed.append(_case(fields, node))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return {function: listed for function, listed in cases.items() if listed}


def _case(fields: dict[str, Any], node: ast.FunctionDef) -> Case:
    arguments = [_value(text) for text in fields["arguments"]]
    named = {str(name): _value(text) for name, text in fields["named"].items()}
    call = drop_defaults(Call(tuple(arguments), named), node)
    case = Case(call, _value(fields["value"]), is_recorded=True)
    if len(case.key) + len(case.output) >= literals.MAX_TEXT:
        raise ValueError("a longer text than a problem's case may have")
    return case


def _value(text: str) -> Any:
    try:
        return literals.parse(ast.parse(text, mode="eval").body)
    except (SyntaxError, MemoryError):
        raise ValueError("no literal") from None


def drop_defaults(call: Call, node: ast.FunctionDef) -> Call:
    """Returns the call without arguments at its end that are the function's defaults anyway."""
    defaults: dict[str, Any] = {}
    for parameter, default in parameters(node.args):
        if default is not None:
            try:
                defaults[parameter.arg] = literals.parse(default)
            except ValueError:
                continue
    names = [parameter.arg for parameter in [*node.args.posonlyargs, *node.args.args]]
    positional_only = {parameter.arg for parameter in node.args.posonlyargs}  # another in **named
    arguments = list(call.arguments)
    while arguments and len(arguments) <= len(names):
        name = names[len(arguments) - 1]
        if name not in defaults or not literals.is_equal(arguments[-1], defaults[name]):
            break
        arguments.pop()
    named = {
        name: value
        for name, value in call.named.items()
        if name not in defaults
        or name in positional_only
        or not literals.is_equal(value, defaults[name])
    }
    return Call(tuple(arguments), named)
