"""Names, sources and layers of gin bindings."""

import sys
from collections.abc import Mapping, Sequence

import pytest

from codex_jax import InputError
from codex_jax.main import bindings
from codex_jax.suggestions import suggest


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
    values = arguments('include "b.gin"\nwork.rate = 0.75')
    assert (values["rate"], values["ks"]) == (0.75, (3,))


def test_a_file_that_includes_itself(fails):
    assert "a.gin: includes itself; remove the include" in fails('include "a.gin"')


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
    assert line == "--seed is ambiguous; write --gin.Reader.seed or --gin.Policy.seed"


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
    with pytest.raises(InputError, match=r"b\.gin:1: byte 0xff is not UTF-8; save as UTF-8"):
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
        ("--ks=2", "ks", (2,)),
        ("--ks=2,3", "ks", (2, 3)),
        ("--rate=1e-3", "rate", 1e-3),
        ("--watch=True", "watch", True),
    ],
)
def test_the_shell_needs_no_quotes(arguments, flag, name, value):
    assert arguments(None, flag)[name] == value


@pytest.mark.parametrize(
    ("hint", "value", "items"),
    [
        (Sequence[str], "numpy", "('numpy',)"),
        (Sequence[str], "a b,1,None", "('a b', '1', 'None',)"),
        (Sequence[str] | None, "it's", '("it\'s",)'),
        (Sequence[float], "0.2", "(0.2,)"),
        (int | Sequence[int] | None, "3,4", "(3, 4,)"),
        (tuple[float, float], "0.2,0.3", "(0.2, 0.3,)"),
        (int | Sequence[int], "3", ""),  # a number is allowed
        (Sequence[str] | str, "a,b", ""),  # and a text, which the command splits
        (Mapping[str, Sequence[int]], "3", ""),
        (Sequence[str], "['a,b']", ""),
        (Sequence[str], "a,,b", ""),
        (Sequence[str], "", ""),
        (str, "a,b", ""),
    ],
)
def test_items_of_a_sequence_from_the_shell(hint, value, items):
    assert bindings._to_items(value, hint) == items


def test_items_that_are_none(fails):
    assert fails(None, "--ks=1,,2") == "--ks=1,,2: work.ks is '1,,2'; expected Sequence[int]"
    assert fails(None, "--ks=1,x") == "--ks=1,x: work.ks is '1,x'; expected Sequence[int]"
    expected = "--ks=[1,x]: a name that is no value; write texts in quotes"
    assert fails(None, "--ks=[1,x]") == expected


def test_macros_from_the_shell_need_no_quotes(arguments):
    text = "OUT = %gin.REQUIRED\nwork.name = %OUT"
    assert arguments(text, "--gin.OUT=runs/x.json")["name"] == "runs/x.json"
    assert arguments(text, "--gin.OUT=10-b")["name"] == "10-b"


def test_macros_of_macros(arguments):
    assert arguments("A = 0.5\nB = %A\nwork.rate = %B")["rate"] == 0.5


def test_suggest_lists_all_if_nothing_is_close_and_few_exist():
    assert suggest("zzz", ["alpha", "beta"]) == "; expected alpha, beta"
    assert suggest("ALPH", ["alpha", "beta"]) == "; did you mean alpha?"
    assert suggest("zzz", [f"name{i}" for i in range(50)]) == ""


def test_includes_find_our_gin_files_from_a_folder_of_ones_own(fails):
    line = fails('include "model/85m.gin"')  # of another command: found, and refused by name
    assert "model/85m.gin:" in line
    assert "nothing here is called 'DecoderConfig'" in line


def test_a_file_that_includes_itself_by_another_path(fails, tmp_path):
    (tmp_path / "b").mkdir()
    assert "includes itself" in fails('include "b/../a.gin"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A = %A\nwork.rate = %A", "a.gin:1: macro A refers to itself: A → A"),
        ("A = %B\nB = %A\nwork.rate = %A", "a.gin:1: macro A refers to itself: A → B → A"),
        ("A = %A\nwork.ks = (1, %A)", "a.gin:1: macro A refers to itself: A → A"),
        ("A = [%A]\nwork.ks = %A", "a.gin:1: macro A refers to itself: A → A"),
        (
            "A = {'x': %B}\nB = (1, %A)\nwork.ks = %B",
            "a.gin:1: macro A refers to itself: A → B → A",
        ),
        ("A = [[%B]]\nB = %A\nwork.ks = %A", "a.gin:1: macro A refers to itself: A → B → A"),
        ("A = {%A: 1}\nwork.ks = %A", "a.gin:1: macro A refers to itself: A → A"),
    ],
)
def test_a_macro_that_refers_to_itself(fails, text, message):
    assert fails(text) == message


SOURCES = 'work.sources = {"a": @one/Folder()}\none/Folder.path = "x"\n'


def test_a_misspelt_scope_is_refused_with_the_nearest(fails):
    line = fails(SOURCES + "onee/Folder.weight = 2")
    assert line == "a.gin:3: no @onee/Folder() is in use; did you mean one?"


def test_a_binding_that_nothing_reads_is_refused(fails, arguments):
    message = "nothing reads Folder.weight: no Folder is in use"
    assert fails("Folder.weight = 2").startswith(f"a.gin:1: {message}")
    assert fails(None, "--weight=2").startswith(f"--weight=2: {message}")
    assert fails('work.sources = {"a": "x"}', "--weight=2").startswith(f"--weight=2: {message}")
    assert arguments(SOURCES, "--weight=2")["sources"]["a"].weight == 2


def test_a_binding_that_a_scope_overrides_counts_as_read(arguments):
    text = SOURCES + "Folder.weight = 3\none/Folder.weight = 2"
    assert arguments(text)["sources"]["a"].weight == 2


def test_lists_and_tuples_are_the_same(arguments):
    assert arguments(None, "--ks=[3]")["ks"] == arguments(None, "--ks=(3,)")["ks"] == (3,)
    assert arguments("work.ks = [3, 4]")["ks"] == (3, 4)


def test_names_are_exact(fails):
    assert fails("other.work.rate = 1").startswith("a.gin:1: nothing here is called 'other.work'")


def test_brackets_within_each_other_to_any_depth(fails):
    line = fails(f"work.ks = {'[' * 5000}{']' * 5000}")
    if sys.version_info < (3, 12):  # later ones count the brackets as they read them
        assert line == "a.gin: too many brackets within each other"
    else:
        assert line == "a.gin:1: too many nested parentheses"
