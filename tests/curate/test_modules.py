"""Names of modules, and what they bind."""

import pytest

from codex_jax.curate.packages import archives, modules
from tests.curate.conftest import package_of


def package(*paths: str) -> modules.Package:
    sources = dict.fromkeys(paths, "x = 1\n")
    return modules.Package(archives.Archive("p", "1", "", sources))


def test_modules_are_named_by_the_packages_above_them():
    names = package(
        "p-1.0/src/p/__init__.py", "p-1.0/src/p/sub/__init__.py", "p-1.0/src/p/sub/a.py",
        "p-1.0/single.py", "p-1.0/src/p/not-a-name.py",
    ).modules  # fmt: skip
    assert set(names) == {"p", "p.sub", "p.sub.a", "single"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("p/tests/test_a.py", True), ("p/test_a.py", True), ("p/a_test.py", True),
        ("p/conftest.py", True), ("p/testing/__init__.py", True), ("p/contest.py", False),
        ("p/latest/a.py", False), ("p/a.py", False),
    ],
)  # fmt: skip
def test_tests_are_told_by_their_path(path, expected):
    assert modules.Module("m", path, "", is_package=False).is_test == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("p/_vendor/a.py", True),
        ("p/extern/b/c.py", True),
        ("p/external.py", False),
        ("p/a.py", False),
    ],
)
def test_copies_of_others_are_told_by_their_path(path, expected):
    assert modules.Module("m", path, "", is_package=False).is_vendored == expected


def test_bindings_of_every_statement():
    text = """
    import a.b, c as d
    from .e import f as g
    X = Y = 1
    Z: int = 2
    W: int
    if X:
        def h(): pass
    try:
        import i
    except ImportError:
        i = None
    class K: pass
    """
    module = package_of(m=text).modules["pkg.m"]
    assert set(module.bindings) == {"a", "d", "g", "X", "Y", "Z", "h", "i", "K"}
    assert module.bindings["g"][0].source == "pkg.e"
    assert module.bindings["d"][0].source == "c"
    assert len(module.bindings["i"]) == 2


def test_what_does_not_parse_is_empty():
    module = package_of(m="def f(:\n").modules["pkg.m"]
    assert module.tree.body == []
    deep = package_of(m="x = " + "(" * 3000 + ")" * 3000).modules["pkg.m"]
    assert deep.tree.body == []


def test_functions_with_docstrings():
    module = package_of(m='def f():\n    "Doc."\n\ndef g():\n    pass\n').modules["pkg.m"]
    assert [node.name for node in modules.documented_functions(module)] == ["f"]
    table = modules.top_level_functions(package_of(m="def f(): pass\n", test_m="def t(): pass\n"))
    assert set(table) == {("pkg.m", "f")}


def test_two_files_of_one_name_are_found_by_none():
    sources = {"p/a/helpers.py": "X = 1\n", "p/b/helpers.py": "X = 2\n", "p/a/one.py": "Y = 1\n"}
    sources["p/b/one.py"] = sources["p/a/one.py"]
    found = modules.Package(archives.Archive("p", "1", "", sources))
    assert found.find("helpers") is None
    assert found.find("one").text == "Y = 1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from .json import x", ".json"),
        ("from ..json import x", ".json"),
        ("from . import json", "."),
    ],
)
def test_a_relative_import_without_a_package_above_names_no_library(text, expected):
    sources = {"space/a.py": text + "\n"}
    module = modules.Package(archives.Archive("p", "1", "", sources)).modules["a"]
    assert module.absolute(module.tree.body[0]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a, (b, *c) = x", "for a in x: b = c = 1", "with x as (a, b): c = 1",
        "try: a = 1\nexcept E as b: pass\nfinally: c = 1", "while (a := x): b = c = 1",
        "match x:\n    case [a, *b]: pass\n    case {'k': 1, **c}: pass", "del a, b, c",
    ],
)  # fmt: skip
def test_names_are_bound_by_whatever_syntax(text):
    assert set(package_of(a=text).modules["pkg.a"].bindings) == {"a", "b", "c"}


@pytest.mark.parametrize("text", ["x: int", "[a for a in x]", "f(lambda a: a)", "class C: a = 1"])
def test_names_that_a_module_doesn_t_bind(text):
    assert not set(package_of(a=text).modules["pkg.a"].bindings) & {"a", "x"}
