"""What is proved to run for ever does, and what ends, or hides a state, is never proved to."""

import random
import types

import pytest

from codex_jax.evaluate.judging import judge
from codex_jax.evaluate.sandbox import backends, sandbox
from codex_jax.evaluate.sandbox.guest import endless, loops

CALL = '[[[3, 1, 2]], {"dict": []}]'
ENDLESS = {
    "nothing": "while True: pass",
    "caught": "while True:\n        try: a[9]\n        except: pass",
    "same list": "while a: a = sorted(a)",
    "turned around": "b = 0\n    while a:\n        a.reverse()\n        b = a[0]",
    "counted": "n = 0\n    while a: n += 1",
    "counted down": "n = 0.5\n    while a: n = n - a[1]",
    "within a for": "n = 0\n    for x in a:\n        while x:\n            n += x",
    "with a for": "n = 0\n    while n < 2:\n        for x in a:\n            n = x - x",
    "called": "g = lambda x: x + 1\n    while True: b = g(a[0])",
    "in a called one": "def g(x):\n        while x: pass\n    return sorted(a, key=g)",
    "closed over": "n = [0]\n    def g(): n[0] = 1 - n[0]\n    while True: g()",
    "an alias": "b = a\n    while True: a[0], b[1] = b[1], a[0]",
    "listed": "while True: b = [x for x in a if x > 1]",
    "of a float": "x = 8\n    while x % 1 == 0: x = x / 1",
}
ENDING = {
    "counting": "n = 0\n    while n < 10**6: n += 1\n    return n",
    "summing": "n = s = 0\n    while s < 10**6:\n        n += 1\n        s += n\n    return s",
    "far": "x = y = 1\n    while x < 10**6:\n        y = y + x\n        x = x + 1\n    return y",
    "an iterator": "i = iter(range(10**6))\n    while next(i, 7) != 7: pass\n    return 1",
    "a generator": "def g():\n        while True: yield 1\n    n = 0\n    for x in g():\n"
    "        n += x\n        if n > 10**5: return n",
    "its consumer": "def g():\n        while True: yield 1\n    from itertools import islice\n"
    "    return sum(islice(g(), 10**6))",
    "a counter": "from itertools import count\n    c = count()\n"
    "    while next(c) < 10**6: pass\n    return 1",
    "a counter out of sight": "from itertools import count\n    g = lambda c=count(): next(c)\n"
    "    while g() < 10**5: pass\n    return 1",
    "nonlocal": "n = 0\n    def g():\n        nonlocal n\n        n += 1\n    while n < 10**5: g()",
    "in a list": "n = [0]\n    def g(): n[0] += 1\n    while n[0] < 10**5: g()",
    "in a default": "def g(n=[0]):\n        n[0] += 1\n        return n[0]\n"
    "    while g() < 10**5: pass\n    return 1",
    "a set's order": "s = {*range(2000)}\n    while s:\n        s.pop()\n    return 1",
    "in turns": "n = 0\n    for x in range(10**5):\n        while n > 5: n = 0\n        n += 1\n"
    "    return n",
    "memory": "from functools import lru_cache\n    g = lru_cache(None)(lambda n: n)\n"
    "    n = 0\n    while g(n) < 10**5: n += 1\n    return n",
    "many times": "def g(x):\n        while x: x = 0\n    for i in range(10**5): g(a)\n"
    "    return 1",
}


@pytest.fixture(scope="module")
def box():
    for name in backends.BACKENDS:
        if backends.BACKENDS[name].installed():
            with sandbox.opened(name) as opened:
                yield opened
            return
    pytest.skip("no sandbox is installed")


def ended(box, source: str) -> dict | None:
    """How a program ended where it was read; None where it is to be run by itself."""
    limits = sandbox.Limits()._asdict()
    box.foresee({"entry_point": "f", "calls": [CALL], "limits": limits})
    ran = box.parse(source, run=True).ran
    if ran is None:
        return None
    candidate = judge.Candidate(ran, [CALL], sandbox.Limits(), live=False)
    candidate.receive()
    return candidate.end_frame


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
def test_the_same_state_again_is_for_ever(box, body):
    end = ended(box, f"def f(a):\n    {body}\n")
    assert end["why"] == "endless" and end["cpu_s"] < 0.2
    assert 1 < end["line"] <= body.count("\n") + 2


@pytest.mark.parametrize("body", ENDING.values(), ids=ENDING)
def test_what_ends_is_never_said_to_run_for_ever(box, body):
    end = ended(box, f"def f(a):\n    {body}\n")
    assert end is None or end["why"] == "closed"


def test_orbits_are_told_as_they_are(box):
    """Random walks that meet a number, or never do: what is proved never does, and much is."""
    draw, proved = random.Random(5), 0
    for _ in range(30):
        size = draw.choice([7, 100, 10**4, 10**6])
        a, b, x, end = (draw.randrange(1, size) for _ in range(4))
        step = f"x = (x * {a} + {b}) % {size}"
        told = ended(box, f"def f(n):\n    x = {x}\n    while x != {end}: {step}\n    return x\n")
        seen = set()
        while x not in seen:
            seen.add(x)
            x = (x * a + b) % size
        if told and told["why"] == "endless":
            proved += 1
            assert end not in seen
    assert proved > 5


@pytest.mark.parametrize("depth", range(900, 1000, 7))
def test_what_looking_breaks_is_no_outcome(box, depth):
    """Looking wants a few calls of its own, which a program may have left it, or not."""
    deep = "def g(n):\n        if n: return g(n - 1)\n        while True: a[0] = -a[0]\n"
    body = f"{deep}    try: return g({depth})\n    except Exception: return 5\n"
    end = ended(box, f"def f(a):\n    {body}")
    assert end is None or end["why"] == "endless" or end["cpu_s"] < 0.01  # never got to the loop


def test_a_module_may_run_for_ever(box):
    assert ended(box, "x = 1\nwhile True:\n    x = 1 - x\n")["why"] == "endless"


def test_time_limit_is_the_cause_and_names_the_line():
    ran = sandbox.Ran(0.1, 7, b'{"ready": true}\n')
    candidate = judge.Candidate(ran, [CALL], sandbox.Limits(), live=False)
    candidate.start()
    with pytest.raises(judge.ProgramEnded) as ending:
        candidate([3, 1, 2])
    assert ending.value.cause == "time_limit" and "line 7" in ending.value.detail


def function(source: str) -> types.FunctionType:
    world: dict = {}
    exec(source, world)
    return world["f"]


def test_loops_are_found_where_their_stack_is_bare():
    found = loops.places(function("def f(a):\n    for x in a: print(x)\n").__code__)
    assert found == {}
    one = function("def f(a, n):\n    while a:\n        s = 0\n        n = n + 1\n    return n\n")
    spans = set(loops.places(one.__code__).values())
    assert {summed for _, _, summed in spans} == {("n",)}


@pytest.mark.parametrize(
    "body", ["n += n", "n += f(n)", "n = 1 - n", "n *= 2", "n += 1; print(n)", "n = -n", "m = n"]
)
def test_no_sum_is_what_the_loop_does_more_with(body):
    code = function(f"def f(a, n):\n    while a:\n        {body}\n").__code__
    assert {summed for _, _, summed in loops.places(code).values()} == {()}


def test_states_tell_kinds_aliases_and_what_they_hide():
    def told(**values):
        frame = types.SimpleNamespace(f_globals={}, f_locals=values)
        return endless.state(frame, ("s",))

    assert told(a=[1]) == told(a=[1]) != told(a=[True]) != told(a=[1.0])
    assert told(a=float("nan")) == told(a=float("nan")) and told(a=0.0) != told(a=-0.0)
    one = [1]
    assert told(a=one, b=one) != told(a=[1], b=[1])
    assert told(s=1) == told(s=2) != told(s=2.0) and told(s=[1]) != told(s=[2])
    assert told(a={1: 2, 3: 4}) != told(a={3: 4, 1: 2})
    assert told(a=one.append) == told(a=[1].append) != told(a=[2].append)
    for hidden in ({1}, iter([]), (x for x in []), map(str, []), range(3).__iter__):
        assert told(a=hidden) is None
    half = endless._LARGEST // 2
    assert told(a=list(range(half - 9))) and told(a=list(range(half + 9))) is None
