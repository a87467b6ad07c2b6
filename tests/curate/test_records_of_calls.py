"""Lines of a process that isn't trusted: only calls of functions that exist are read."""

import ast
import json

from codex_jax.curate.execution import Call
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.traces import records_of_calls
from tests.curate.conftest import package_of

SOURCE = "def f(a, b=1, *, c='x'):\n    return a\n"


def line(**fields) -> bytes:
    record = {
        "module": "pkg.m",
        "name": "f",
        "arguments": ["1", "1"],
        "named": {"c": "'x'"},
        "value": "2",
    }
    return json.dumps(record | fields).encode()


def test_defaults_are_dropped():
    cases = records_of_calls.read_cases([line(), line(arguments=["1", "2"])], package_of(m=SOURCE))
    assert cases["pkg.m", "f"] == [
        Case(Call((1,), {}), 2, is_recorded=True),
        Case(Call((1, 2), {}), 2, is_recorded=True),
    ]
    node = ast.parse(SOURCE).body[0]
    kept = Call((1, True), {"c": "y"})
    assert records_of_calls.drop_defaults(kept, node) == kept


def test_lines_that_are_no_records():
    lines = [
        b"?", b"[]", b"{}", b"1", b"\xff", b"x" * 50_000, line(name="g"), line(module="os"),
        line(arguments=["__import__('os')"]), line(value="f()"), line(value="1" * 9000),
        line(named={"class": "1"}), line(named={"data-id": "1"}), line(named={"x=1, y": "1"}),
        line(arguments=None), line(arguments=["(" * 3000]), line(named=[1]),
    ]  # fmt: skip
    assert records_of_calls.read_cases(lines, package_of(m=SOURCE)) == {}


def test_a_function_has_so_many_cases_at_most():
    lines = [line(arguments=[str(n)]) for n in range(99)]
    assert len(records_of_calls.read_cases(lines, package_of(m=SOURCE))["pkg.m", "f"]) == 40


def test_a_named_argument_of_a_positional_one_s_name_is_another():
    source = "def f(a=1, /, **more):\n    return len(more)\n"
    fields = {"arguments": ["1"], "named": {"a": "1"}}
    cases = records_of_calls.read_cases([line(**fields)], package_of(m=source))
    assert cases["pkg.m", "f"] == [Case(Call((), {"a": 1}), 2, is_recorded=True)]
