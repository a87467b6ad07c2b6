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
         "a global that the import changes"),
        ("T = {}\nT.update(a=1)\ndef f(x):\n    return T[x]\n",
         "a global that the import changes"),
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


HIDDEN = {
    "a star of the library": "from math import *\ndef f(x):\n    return pow(x, 2)\n",
    "a star of the package": "from .other import *\ndef f(x):\n    return sorted(x)\n",
    "a star of a stranger": "from strange import *\ndef f(x):\n    return sum(x)\n",
    "a tuple": "max, min = min, max\ndef f(x):\n    return max(x)\n",
    "a condition": "if len('') > 3:\n    str = bytes\ndef f(x):\n    return str(x)\n",
    "a handler": "try:\n    t\nexcept NameError:\n    str = bytes\ndef f(x):\n    return str(x)\n",
    "a walrus": "if (abs := len): pass\ndef f(x):\n    return abs(x)\n",
    "a loop": "for abs in (len,): pass\ndef f(x):\n    return abs(x)\n",
    "a match": "match len:\n    case abs: pass\ndef f(x):\n    return abs(x)\n",
    "finally": "try: pass\nfinally:\n    abs = len\ndef f(x):\n    return abs(x)\n",
    "globals()": "globals()['abs'] = len\ndef f(x):\n    return abs(x)\n",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_a_builtin_that_a_module_may_hide_is_no_builtin(text):
    other = "def sorted(x):\n    return x\n"
    with pytest.raises(NotSelfContainedError):
        cut(a=text, other=other)


@pytest.mark.parametrize("text", ["__all__ = ['k']\nk = 1\ndef sum(x): return 3\n", "_g = 3\n"])
def test_a_star_hides_nothing_that_it_leaves_out(text):
    star = "def _g(x):\n    return sum(x)\ndef f(x):\n    return _g(x)\nfrom .b import *\n"
    assert "def _g(x):" in cut(a=star, b=text).source
    listed = text + "__all__ = ['sum', '_g']\n"
    assert reason(star, b=listed + "def sum(x): return 3\n") == "star import"


def test_a_star_hides_nothing_that_it_has_not():
    assert "abs(x)" in cut(a="from math import *\ndef f(x):\n    return abs(x)\n").source


@pytest.mark.parametrize(
    "text",
    [
        "from html import escape\ndef escape(x):\n    return x\ndef f(x):\n    return escape(x)\n",
        "from os.path import join\nfrom .u import join\ndef f(x):\n    return join(x, x)\n",
        "import json\ntry:\n    import fast as json\nexcept ImportError: pass\n"
        "def f(x):\n    return json.dumps(x)\n",
    ],
)
def test_a_later_binding_is_none_that_stands_in_for_the_library(text):
    assert reason(text, u="def join(a, b):\n    return b + a\n") == "bound more than once"


def test_an_import_that_is_there_twice_is_one():
    text = "import json\nimport json\ndef f(x):\n    return json.dumps(x)\n"
    assert cut(a=text).prelude == "import json\n"


@pytest.mark.parametrize(
    "text",
    [
        "from .b import sum as total\ndef f(x):\n    return total(x), sum(x)\n",
        "from .b import g\ndef f(x):\n    return g(x), pow(x, 2)\n",
        "from .b import g\nfrom math import pow\ndef f(x):\n    return pow(x, 2), h(x)\n"
        "def h(x):\n    return g(x)\n",
    ],
)
def test_a_helper_hides_no_builtin_of_another_module(text):
    others = "from math import pow\ndef sum(x):\n    return -1\ndef g(x):\n    return pow(x, 3)\n"
    if "def h" in text:
        others = "def g(x):\n    return pow(x, 3)\n"
    assert reason(text, b=others) == "a helper hides a builtin"


@pytest.mark.parametrize("name", ["abs", "list", "set"])
def test_a_name_that_its_test_needs(name):
    text = f"def {name}(x):\n    return x\n"
    with pytest.raises(NotSelfContainedError, match="a name that its test needs"):
        cut(name, a=text)


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return __name__ + x\n",
        "def f(x):\n    return f.__module__ + x\n",
        "def f(x):\n    return f.__code__.co_filename + x\n",
        "def f(x):\n    return str(__doc__) + x\n",
    ],
)
def test_a_function_that_reads_where_it_stands(text):
    assert reason(text) == "an attribute of its module"
    logger = "import logging\nlog = logging.getLogger(__name__)\n"
    logger += "def f(x):\n    log.info(x)\n    return x\n"
    assert "getLogger(__name__)" in cut(a=logger).source


def test_a_function_may_set_where_it_seems_to_stand():
    text = "def named(g):\n    g.__module__ = 'a'\n    return g\n"
    assert "__module__ = 'a'" in cut(a=text + "@named\ndef f(x):\n    return x\n").source


@pytest.mark.parametrize("value", ["'ab' + 'c'", "(1, -2)", "re.compile('b')", "str(3)"])
def test_what_no_function_can_change_may_be_passed_to_one(value):
    text = f"import re\nT = {value}\nprint(T)\ndef f(x):\n    return x, T\n"
    assert f"T = {value}" in cut(a=text).source
    assert reason(text.replace(value, f"[{value}]")) == "a global that the import changes"


@pytest.mark.parametrize("use", ["u.k = x", "u.k += x", "del u.k"])
def test_a_function_that_sets_a_module_changes_globals(use):
    text = f"from . import u\ndef f(x):\n    {use}\n    return x\n"
    assert reason(text, u="k = 1\n") == "changes globals"


@pytest.mark.parametrize(
    "hider", ["lambda scale: scale * 2", "lambda u: u.real", "[g for scale in [1]]"]
)
def test_a_local_that_is_named_as_a_renamed_global(hider):
    text = f"from .b import g\nfrom .c import scale\nfrom . import u\ndef f(x):\n    h = {hider}\n"
    text += "    return g(x) + scale(x) + u.real(x)\n"
    others = {"b": "def scale(x):\n    return 1\ndef g(x):\n    return scale(1)\n"}
    others |= {"c": "def scale(x):\n    return x\n", "u": "def real(x):\n    return x\n"}
    assert reason(text, **others) == "a local hides a helper"


@pytest.mark.parametrize(
    "text",
    [
        "from email.utils import formatdate\ndef f(x):\n    return x + formatdate()\n",
        "import email.utils\ndef f(x):\n    return x + email.utils.formatdate()\n",
        "import logging\ndef f(x):\n    return logging.makeLogRecord({'a': x}).created\n",
    ],
)
def test_clocks_within_pure_modules(text):
    assert reason(text) in ("impure import", "impure method")


@pytest.mark.parametrize(
    "line",
    [
        f"K = {'1 + ' * 1500}1",
        f"if len('') == 0x{'f' * 4000}: pass",
        f"K = x{'.y' * 1500}",
        "if 0: pass\n" + "elif 0: pass\n" * 2500,
    ],
)
def test_deep_or_long_code_elsewhere_in_a_module_costs_nothing(line):
    assert cut(a=f"{line}\ndef f(x):\n    return x\n").source == "def f(x):\n    return x\n"


@pytest.mark.parametrize(
    ("helper", "use"),
    [
        ("def g(x):\n    return x\n", "g.__name__"),
        ("class g:\n    pass\n", "repr(g)"),
        ("class g(str):\n    pass\n", "type(g()).__name__"),
    ],
)
def test_a_helper_whose_name_is_part_of_answers_keeps_it(helper, use):
    text = f"from .b import h\n{helper}def f(x):\n    return h(x) + {use}\n"
    other = f"{helper}def h(x):\n    return x + {use}\n"
    assert reason(text, b=other) == "a renamed helper whose name counts"
    assert (
        reason(text, b=other.replace("h(x)", "h(x, y=g)")) == "a renamed helper whose name counts"
    )


@pytest.mark.parametrize(
    "value", ["iter('abc')", "(x for x in 'abc')", "itertools.count()", "enumerate('abc')"]
)
def test_a_constant_that_is_used_up(value):
    text = f"import itertools\nT = {value}\nFIRST = list(T)\ndef f(x):\n    return next(T)\n"
    assert reason(text) == "a constant that is used up"
