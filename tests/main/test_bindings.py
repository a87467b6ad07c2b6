"""Names, places and layers of gin bindings."""

import sys

import pytest

from codex_jax import InputError
from codex_jax.main.bindings import near


@pytest.fixture
def fails(configure, tmp_path):
    """(gin text, *flags) -> the one line of the error, the file's folder cut off."""

    def message(text, *flags, **how):
        with pytest.raises(InputError) as caught:
            configure(text, *flags, path=tmp_path / "a.gin", **how)
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


@pytest.fixture
def arguments(configure, tmp_path):
    def called_with(text, *flags):
        return configure(text, *flags, path=tmp_path / "a.gin").arguments()

    return called_with


def test_later_layers_win(arguments):
    assert arguments("work.rate = 0.1\nwork.rate = 0.2")["rate"] == 0.2
    assert arguments("work.rate = 0.1", "--rate=0.3")["rate"] == 0.3
    assert arguments("work.rate = 0.1", "--rate=0.3", "--gin.work.rate=0.4")["rate"] == 0.4


def test_includes_stand_beside_their_file(arguments, tmp_path):
    (tmp_path / "b.gin").write_text("work.rate = 0.25\nwork.ks = (3,)\n")
    found = arguments('include "b.gin"\nwork.rate = 0.75')
    assert (found["rate"], found["ks"]) == (0.75, (3,))


def test_a_file_that_includes_itself(fails):
    assert "a.gin: includes itself" in fails('include "a.gin"')


def test_a_missing_file(fails):
    assert "b.gin: no such gin file" in fails('include "b.gin"')


def test_unknown_parameter_in_a_file(fails):
    assert fails("\n\nwork.ratte = 1") == (
        "a.gin:3: work has no parameter 'ratte'; did you mean rate?"
    )


def test_unknown_parameter_in_a_flag(fails):
    expected = "--gin.Shape.layerz=1: Shape has no parameter 'layerz'; did you mean layers?"
    assert fails(None, "--gin.Shape.layerz=1") == expected


def test_unknown_configurable(fails):
    assert "a.gin:1: nothing here is called 'Shap'; did you mean Shape?" in fails("Shap.layers = 1")


def test_unknown_reference(fails):
    line = fails("# one\nwork.shape = @Shappe()")
    assert line.startswith("a.gin:2: nothing here is called 'Shappe'; did you mean Shape?")


def test_a_plain_flag_that_nothing_has(fails):
    assert fails(None, "--outputt=x") == "no setting --outputt; did you mean output?"


def test_a_plain_flag_that_two_have(fails):
    line = fails(None, "--seed=1")
    assert line == "--seed could be --gin.Reader.seed or --gin.Policy.seed"


def test_a_macro_set_in_vain(fails):
    text = "RATE = 0.1\nwork.rate = %RATE"
    line = fails(text, "--gin.RATTE=0.3")
    assert line == "--gin.RATTE=0.3: macro RATTE is set but nothing uses it; did you mean RATE?"
    assert fails("work.rate = 0.1\nRATES = 3").startswith("a.gin:2: macro RATES is set but nothing")


def test_a_macro_never_set(fails):
    line = fails("RATE = 0.1\nwork.rate = %RATE\nwork.name = %RAT")
    assert line == "a.gin:3: macro RAT is used but set nowhere; did you mean RATE?"


# Where a file ends too early: Python 3.12's tokenizer names the line that is unfinished.
_END = "a.gin:2: " if sys.version_info < (3, 12) else "a.gin:1: "


@pytest.mark.parametrize(
    ("text", "where"),
    [("work.rate = [1,\n", _END), ("work.rate = 1 2", "a.gin:1: "), ("oh", "a.gin:")],
)
def test_syntax_is_located(fails, text, where):
    assert fails(text).startswith(where)


def test_syntax_of_a_flag(fails):
    assert fails(None, "--gin.work.ks=[1,").startswith("--gin.work.ks=[1,: ")


def test_a_file_of_bytes(configure, tmp_path):
    path = tmp_path / "b.gin"
    path.write_bytes(b"\xff\xfe\x00")
    (tmp_path / "a.gin").write_text("")
    with pytest.raises(InputError, match=r"b\.gin: utf-8"):
        configure('include "b.gin"', path=tmp_path / "a.gin")


def test_imports_are_not_wanted(fails):
    assert fails("import os").startswith("a.gin:1: imports are not needed")


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        ("--output=gs://bucket/x", "output", "gs://bucket/x"),
        ("--output=12", "output", "12"),
        ("--output='quoted'", "output", "quoted"),
        ("--gin.work.name=None", "name", None),
        ("--name=a b", "name", "a b"),
        ("--name=", "name", ""),
        ("--ks=(2, 3)", "ks", (2, 3)),
        ("--rate=1e-3", "rate", 1e-3),
        ("--watch=True", "watch", True),
    ],
)
def test_the_shell_needs_no_quotes(arguments, flag, name, value):
    assert arguments(None, flag)[name] == value


def test_macros_from_the_shell_need_no_quotes(arguments):
    text = "OUT = %gin.REQUIRED\nwork.name = %OUT"
    assert arguments(text, "--gin.OUT=runs/x.json")["name"] == "runs/x.json"
    assert arguments(text, "--gin.OUT=10-b")["name"] == "10-b"


def test_macros_of_macros(arguments):
    assert arguments("A = 0.5\nB = %A\nwork.rate = %B")["rate"] == 0.5


def test_near_lists_all_where_nothing_is_near_and_few_are():
    assert near("zzz", ["alpha", "beta"]) == "; known: alpha, beta"
    assert near("ALPH", ["alpha", "beta"]) == "; did you mean alpha?"
    assert near("zzz", [f"name{i}" for i in range(50)]) == ""
