"""Globals that code changes after they are bound, at the import of whatever module."""

import pytest

from codex_jax.curate.packages import changes
from tests.curate.conftest import package_of

CHANGED = {
    "in an if": "T = {}\nif True:\n    T.update({3: 4})\n",
    "in a try": "T = {}\ntry:\n    for i in range(9): T[i] = i\nexcept Exception: pass\n",
    "in a function": "T = {}\ndef fill():\n    T[3] = 1\ndef start():\n    fill()\nstart()\n",
    "by a method": "T = {}\nclass C:\n    def __init__(self):\n        T[3] = 1\nC()\n",
    "by a decorator": "T = {}\ndef add(f):\n    T[f] = f\n    return f\n@add\ndef g(): pass\n",
    "by global": "T = {}\ndef fill():\n    global T\n    T = {3: 9}\nfill()\n",
    "by another name": "T = []\nU = T\nU.append(3)\n",
    "within an assignment": "T = {}\n_ = T.setdefault(3, 5)\n",
    "an annotated item": "T = {}\nT[3]: int = 5\n",
    "in a class": "T = []\nclass C:\n    T.append(3)\n",
    "by setattr": "class T: pass\nsetattr(T, 'k', 3)\n",
    "an attribute of a function": "def T(): pass\nT.k = 3\n",
    "a method that is passed": "T = []\nK = list(map(T.append, [1, 2]))\n",
    "by a local's name": "T = {}\ndef fill():\n    t = T\n    t[3] = 1\nfill()\n",
    "where it is no script": "T = {}\nif __name__ != '__main__':\n    T[3] = 1\n",
    "a part of it": "T = {'a': {}}\np = T['a']\np['b'] = 1\n",
    "in a loop": "class T: pass\nfor t in [T]:\n    t.k = 1\n",
    "in a function's loop": "T = {1: {}}\ndef g():\n    for t in T.values(): t[3] = 4\ng()\n",
    "in a condition": "T = {}\nif (t := T) is not None:\n    t[3] = 1\n",
    "in a comprehension": "T = [{}]\n_ = [t.update(a=1) for t in T]\n",
    "deep within": "T = {'a': {}}\nT['a'].setdefault('b', []).append(3)\n",
}
PASSED = {
    "to a function": "def fill(t):\n    t[3] = 1\n    return t\nT = {}\nU = fill(T)\n",
    "to a class": "class C:\n    def __init__(self, t):\n        t.append(1)\nT = []\nU = C(T)\n",
    "by a function": "def fill(t):\n    t[3] = 1\nT = {}\ndef g():\n    fill(T)\ng()\n",
    "under another name": "def fill(t):\n    t[3] = 1\nT = {}\nU = T\nK = fill(U)\n",
    "by a parameter's loop": "def fill(t):\n    for x in t: x[3] = 1\nT = [{}]\nK = fill(T)\n",
    "to what adds to it": "def add(t):\n    t += [3]\nT = []\nK = add(T)\n",
    "by an addition": "T = {}\nU = T\nU |= {3: 4}\n",
    "to the library": "from heapq import heappop\nT = [1, 2]\nU = heappop(T)\n",
}
UNCHANGED = {
    "when it is called": "T = {}\ndef f(x):\n    T[x] = 1\n    return T[x]\n",
    "a local of that name": "T = {}\ndef f():\n    T = {}\n    T[3] = 1\n    return T\nK = f()\n",
    "read only": "T = [1]\nK = sorted(T)\nfor i in range(T[0]): print(i)\n",
    "the loop's other table": "T = {1: 2}\nU = {}\nfor k, v in T.items():\n    U[v] = k\n",
    "its call's result": "def T():\n    return {}\nx = T()\nx[3] = 1\n",
    "beside another value": "T = (1,)\nU = T\ndef g():\n    global U\n    U = ()\ng()\n",
    "its label": "def T(): pass\nT.__doc__ = 'x'\n",
    "as a script": "T = {}\nif __name__ == '__main__':\n    T[3] = 1\n",
}


@pytest.mark.parametrize("text", CHANGED.values(), ids=CHANGED)
def test_a_global_that_the_import_changes(text):
    assert ("pkg.a", "T") in changes.find_changes(package_of(a=text)).changed


@pytest.mark.parametrize("text", UNCHANGED.values(), ids=UNCHANGED)
def test_a_global_that_stays(text):
    assert ("pkg.a", "T") not in changes.find_changes(package_of(a=text)).changed


@pytest.mark.parametrize(
    "text",
    [
        "from .a import T\nT[3] = 5\n",
        "from . import a\na.T[3] = 5\n",
        "import pkg.a as q\nq.T[1] = 2\n",
        "from .a import *\nT[3] = 5\n",
        "from .c import *\nT[3] = 5\n",
        "def g():\n    from .a import T\n    T[3] = 5\ng()\n",
        "def g():\n    from . import a\n    a.T[3] = 5\ng()\n",
    ],
)
def test_another_module_changes_it(text):
    others = {"a": "T = {}\n", "c": "from .a import *\n"}
    assert ("pkg.a", "T") in changes.find_changes(package_of(**others, b=text)).changed
    assert not changes.find_changes(package_of(**others, test_b=text)).changed


@pytest.mark.parametrize(
    "text",
    [
        "globals()['K'] = 9\n",
        "def g():\n    globals()['K'] = 9\ng()\n",
        "exec('K = 9')\n",
        "import sys\nsys.modules[__name__].K = 9\n",
    ],
)
def test_a_module_may_set_any_of_its_constants(text):
    assert ("pkg.a", changes.ANY) in changes.find_changes(package_of(a="K = 1\n" + text)).passed


@pytest.mark.parametrize("text", PASSED.values(), ids=PASSED)
def test_a_global_that_is_passed_to_what_changes_it(text):
    assert ("pkg.a", "T") in changes.find_changes(package_of(a=text)).passed
    text = "def read(t):\n    return sorted(t)\nT = []\nU = read(T)\n"
    assert ("pkg.a", "T") not in changes.find_changes(package_of(a=text)).passed


def test_a_loop_passes_nothing():
    text = "T = {1: 2}\nU = {}\nfor k, v in T.items():\n    U[v] = k\n"
    assert ("pkg.a", "T") not in changes.find_changes(package_of(a=text)).passed
