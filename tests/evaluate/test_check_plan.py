"""The calls that a plan records with the reference, and what it imports before clocks run."""

import json

import pytest

# A plan sets limits and signals of its process, so it isn't the tests' own.
PLANS = """
import json
from codex_jax import InputError, records
from codex_jax.evaluate.judging import check_plan

check_plan._REFERENCE_CPU_S = 5.0  # a slow machine shows the same calls
plans = []
for fields in json.loads({problems!r}):
    try:
        plan = check_plan.CheckPlan(records.Problem(**fields))
        plans.append([[json.loads(call)[0] for call in plan.calls], plan.complete])
    except InputError as error:
        plans.append(str(error))
print(json.dumps(plans))
"""
CASES = {
    "plain": (
        "def f(n):\n",
        "    return n + 1\n",
        "def check(c):\n    assert c(1) == 2\n    assert c(n=2) == 3\n",
        [[1], []],
        True,
    ),
    "recursive": (
        "def f(n):\n",
        "    return n if n < 2 else f(n - 1) + f(n - 2)\n",
        "def check(c):\n    assert c(7) == 13\n    assert f(3) == 2\n",
        [[7], [3]],
        True,
    ),
    "changes its argument": (
        "def f(l):\n",
        "    l.pop()\n    return l\n",
        "def check(c):\n    l = [1, 2]\n    assert c(l) is l\n    assert c(l) == []\n",
        [[[1, 2]], [[1]]],
        True,
    ),
    "iterator": (
        "def f(n):\n",
        "    yield n\n",
        "def check(c):\n    assert list(c(1)) == [1]\n",
        [[1]],
        False,
    ),
    "exits": (
        "import sys\ndef f(n):\n",
        "    sys.exit(n)\n",
        "def check(c):\n    c(3)\n    c(4)\n",
        [[3]],
        False,
    ),
    "raises": (
        "class Own(ValueError): pass\ndef f(n):\n",
        "    raise Own(n)\n",
        "def check(c):\n    try:\n        c(1)\n    except Own:\n        c(2)\n",
        [[1], [2]],
        False,
    ),
}


def problem(prompt: str, body: str, test: str) -> dict:
    fields = {"task_id": "t", "entry_point": "f", "prompt": prompt, "test": test}
    return fields | {"canonical_solution": body}


@pytest.fixture(scope="module")
def plans(run_script):
    problems = [problem(*case[:3]) for case in CASES.values()]
    broken = "def check(c:\n", f"x = {'-' * 20_000}1\n", f"x = 1{' + 1' * 3500}\n"
    problems += [problem("def f(n):\n", "    return n\n", test) for test in broken]
    return json.loads(run_script(PLANS.format(problems=json.dumps(problems))))


@pytest.mark.parametrize("name", CASES)
def test_the_reference_shows_which_calls_there_will_be(plans, name):
    calls, is_complete = CASES[name][3:]
    recorded, complete = plans[list(CASES).index(name)]
    assert (recorded, complete) == (calls, is_complete)


def test_a_test_that_does_not_parse_is_one_line(plans):
    for line in plans[len(CASES) :]:
        assert line.startswith("its test doesn't parse (")
    assert plans[-2] == "its test doesn't parse (nested too deep)"
