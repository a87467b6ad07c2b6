"""References whose answers depend on anything but the arguments lose the cases that show it."""

import pytest

from codex_jax.curate.execution import Call
from codex_jax.curate.problems import trial
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.problems.usefulness import RejectedError

SLOW = """
import time
def f(n):
    start = time.process_time()
    while time.process_time() - start < 0.32:
        pass
    return n * 2
"""
LARGEST = """
largest = 0
def f(n):
    global largest
    largest = max(n, largest)
    return largest * 2
"""
CASES = [Case(Call((n,), {}), n * 2) for n in range(4)]


def count(session, source: str, cases=CASES) -> int:
    return len(trial.reproduced(session, source, "f", cases))


def test_a_function_of_its_arguments(session):
    assert count(session, "def f(n):\n    return n * 2\n") == 4


@pytest.mark.parametrize(
    "source",
    [
        "seen = []\ndef f(n):\n    seen.append(n)\n    return n * 2 + len(seen) // 5\n",
        "def f(n, memory=[]):\n    memory.append(n)\n    return n * 2 if len(memory) < 5 else 0\n",
        "def f(n):\n    return n * 2 + hash(str(n)) % 1000\n",
        LARGEST,
        "def f(n):\n    return n * 2.0\n",
        "import random\ndef f(n):\n    return n * 2 + random.random()\n",
    ],
)
def test_state_hashes_types_and_chance_are_seen(session, source):
    assert count(session, source) < 4


def test_changed_arguments_must_agree(session):
    cases = [Case(Call(([1, n],), {}), None, [[1]]) for n in range(2)]
    assert count(session, "def f(x):\n    x.pop()\n", cases) == 2
    assert count(session, "def f(x):\n    x.append(0)\n", cases) == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os\ndef f(n):\n    os._exit(0)\n", "ends early"),
        ("def g(n):\n    return n\n", "ends early"),
        (SLOW, "a second or more"),
    ],
)
def test_programs_that_end_early_or_take_long(session, source, reason):
    with pytest.raises(RejectedError, match=reason):
        count(session, source)


def test_a_reference_must_pass_its_test_as_it_is_written(session):
    source = "def f(n):\n    return n * 2\n"
    trial.check_test(session, source, "f", "def check(candidate):\n    assert candidate(2) == 4\n")
    for test in (
        "def check(candidate):\n    assert candidate(2) == 5\n",
        "def check(candidate):\n    assert hash(str(candidate(2))) % 2 == 0\n",  # by chance
        "def check(candidate:\n",
    ):
        with pytest.raises(RejectedError, match="fails its test"):
            trial.check_test(session, source, "f", test)
