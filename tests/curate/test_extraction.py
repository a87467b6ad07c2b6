"""Functions cut out of a package run alone, and are refused where they can't."""

import ast

import pytest

from codex_jax.curate.packages import definitions, purity
from codex_jax.curate.packages.extraction import NotSelfContainedError, extract
from tests.curate.conftest import load, package_of

HELPERS = '''
import math as m
from .other import scale, LIMIT

STEP = 2  # of a walk

def _clean(x):
    # rounds down
    return m.floor(x)

def walk(x: float) -> int:
    """Walks x steps and stops at a limit."""
    return min(_clean(x) * STEP * scale(1), LIMIT)
'''
OTHER = """
STEP = 5
LIMIT = 100

def scale(n):
    return n * STEP
"""


def cut(name="f", **sources):
    package = package_of(**sources)
    return extract(package, package.modules["pkg.a"], name)


def reason(text: str, **sources) -> str:
    with pytest.raises(NotSelfContainedError) as caught:
        cut(a=text, **sources)
    return caught.value.reason


def test_helpers_constants_and_imports_come_along_across_modules():
    extracted = cut("walk", a=HELPERS, other=OTHER)
    walk = load(extracted.source, "walk")
    assert walk(3.9) == 30
    assert walk(1e9) == 100
    assert "# rounds down" in extracted.source  # comments are kept
    assert extracted.definition.startswith("def walk(x: float) -> int:")
    assert "import math as m" in extracted.prelude


def test_names_that_meet_are_renamed():
    extracted = cut("walk", a=HELPERS, other=OTHER)
    assert "STEP = 2" in extracted.prelude
    assert "STEP_2 = 5" in extracted.prelude
    assert "return n * STEP_2" in extracted.prelude


def test_attributes_of_the_packages_modules_become_names():
    text = "from pkg import other\nfrom . import other as o\n"
    text += "def f(n):\n    return other.scale(n) + o.LIMIT\n"
    extracted = cut(a=text, other=OTHER)
    assert load(extracted.source, "f")(2) == 110
    assert "other." not in extracted.source


def test_classes_of_data_come_along():
    text = """
    import dataclasses, enum
    from typing import NamedTuple

    class Color(enum.Enum):
        RED = 1
        BLUE = 2

    class Point(NamedTuple):
        x: int
        y: int

    @dataclasses.dataclass
    class Line:
        a: Point
        b: Point

    def f(x):
        line = Line(Point(0, x), Point(x, 0))
        return line.a.y + Color["RED"].value
    """
    assert load(cut(a=text).source, "f")(4) == 5


def test_recursion_and_mutual_recursion():
    text = """
    def g(n):
        return n == 0 or f(n - 1)

    def f(n):
        return n != 0 and g(n - 1)
    """
    extracted = cut(a=text)
    assert load(extracted.source, "f")(3) is True
    assert load(extracted.source, "f")(4) is False


def test_an_annotation_of_somebody_elses_stays_text():
    extracted = cut(a="from numpy import ndarray\ndef f(x: ndarray) -> int:\n    return len(x)\n")
    assert extracted.prelude.startswith("from __future__ import annotations")
    assert load(extracted.source, "f")([1]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy as np\ndef f(x):\n    return np.sum(x)\n", "third-party import"),
        ("import random\ndef f(x):\n    return random.random() * x\n", "impure import"),
        ("import os\ndef f(x):\n    return os.getcwd() + x\n", "impure import"),
        ("from os import environ\ndef f(x):\n    return environ[x]\n", "impure import"),
        ("import time as t\ndef f(x):\n    return t.time() * x\n", "impure import"),
        ("def f(x):\n    return open(x).read()\n", "impure builtin"),
        ("def f(x):\n    return eval(x)\n", "impure builtin"),
        ("def f(x):\n    return missing(x)\n", "unresolved name"),
        ("N = 0\ndef f(x):\n    global N\n    N += x\n    return N\n", "changes globals"),
        ("T = {}\nfor i in range(3):\n    T[i] = i\ndef f(x):\n    return T[x]\n",
         "a constant that statements change"),
        ("T = {}\nT.update(a=1)\ndef f(x):\n    return T[x]\n",
         "a constant that statements change"),
        (f"T = {list(range(2000))}\ndef f(x):\n    return T[x]\n", "long constant"),
        ("from . import other\ndef f(x):\n    return repr(other)[x]\n", "a module as a value"),
        ("import datetime\ndef f(x):\n    return datetime.datetime.now() - x\n", "impure method"),
        ("async def f(x):\n    return x\n", "async function"),
        ("if 1:\n    def f(x):\n        return 1\nelse:\n    def f(x):\n        return 2\n",
         "bound more than once"),
    ],
)  # fmt: skip
def test_what_needs_more_is_refused(text, expected):
    assert reason(text, other=OTHER) == expected


@pytest.mark.parametrize("use", ["os.path.join(x, 'a')", "os.sep + x", "str(sys.maxsize) + x"])
def test_pure_parts_of_impure_modules_are_fine(use):
    extracted = cut(a=f"import os, sys\ndef f(x):\n    return {use}\n")
    assert load(extracted.source, "f")("b")


def test_imports_that_stand_in_for_one_another():
    text = "try:\n    from math import gcd\nexcept ImportError:\n    from fractions import gcd\n"
    assert load(cut(a=text + "def f(x):\n    return gcd(x, 6)\n").source, "f")(4) == 2


def test_names_of_a_definition():
    names = definitions.global_names(
        "def f(x: A, y=B) -> C:\n    z = D(x)\n    return [E for z in y]\n"
    )
    assert set(names.needed) == {"B", "D", "E"}
    assert set(names.annotations) == {"A", "C"}
    assert {"x", "y", "z"} <= names.local


def test_renaming_leaves_other_names():
    text = "def f(a):\n    return g(a.g, g=a)\n"
    assert definitions.rename(text, {"g": "h"}, {}) == "def f(a):\n    return h(a.g, g=a)\n"
    assert definitions.rename(text, {"g": "g"}, {}) is text


def test_a_submodule_of_the_library_is_as_pure_as_its_parent():
    assert purity.is_pure_module("collections.abc")
    assert not purity.is_pure_module("urllib.request")
    assert not purity.is_pure_import("os", "path")  # its uses would not be looked at
    assert purity.impure_use(ast.parse("o.path.exists(x)"), "o", "os") == "os.path.exists"
