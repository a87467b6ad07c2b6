"""Tests of HumanEval+ and MBPP+ as text, for problems that can only be judged in-process.

Such a test runs next to the program: inputs, the reference and its answers are there, too, as are
the assertions of any other test in-process. Verdicts are marked so.
"""

import inspect

from codex_jax import records
from codex_jax.evaluate.judging import oracles
from codex_jax.evaluate.problems import mbpp_plus

_CHECK = """
def check(candidate):
    inf, nan = float("inf"), float("nan")
    namespace = {{"__name__": "reference"}}
    exec({reference!r}, namespace)
    reference = namespace[{name!r}]
    for calls in {calls!r}:
        cases = [(arguments, reference(*copy.deepcopy(arguments))) for arguments in calls]
        check_outputs(candidate, {oracle!r}, cases, {tolerance!r})
"""


def from_inputs(problem: records.Problem) -> str:
    """Returns a test that compares outputs with the reference's, by the rules of `oracles`."""
    extra, name = problem.extra, problem.entry_point
    arguments = mbpp_plus.call_arguments(extra)
    base = len(extra.get("base_input") or ())
    return inspect.getsource(oracles) + _CHECK.format(
        reference=problem.prompt + problem.canonical_solution + extra.get("suffix", ""),
        name=name,
        calls=[arguments[:base], arguments[base:]],
        oracle=extra.get("oracle", name),
        tolerance=float(extra.get("atol", 0)),
    )
