"""Trees of a corpus are Tasks: one by its name, all by weight, or some by rates."""

import sys

import pytest

from codex_jax import InputError
from codex_jax.data.blend import read_blend
from codex_jax.data.build import build
from codex_jax.data.corpus import SourceTree
from codex_jax.data.packing.row_store import read_info

from .conftest import module_text, write_tree


@pytest.fixture(scope="module")
def corpus(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write_tree(other, {f"m{n}.py": module_text(n) + f"\nx = {n}\n" for n in range(40)})
    write_tree(other / "none", {"notes.txt": "no code"})
    return {"big": tree, "small": other, "none": other / "none"}


@pytest.fixture
def blend(corpus, tokenizer):
    def read(mixture="", modules=(), **settings):
        return read_blend(settings.pop("corpus", corpus), mixture, modules, tokenizer, **settings)

    return read


def test_a_corpus_is_all_of_its_trees_by_weight(blend):
    for mixture in ("", "a_name"):
        members = blend(mixture)
        assert list(members.trees) == ["big", "small", "none"]
        assert (members.rates, members.task_hashes, members.modules) == ({}, {}, ())


def test_a_task_of_the_corpus_is_chosen_by_name(blend):
    assert list(blend("small").trees) == ["small"]


def test_rates_make_the_mixture(blend):
    members = blend("mixed", rates={"small": 0.3, "big": 0.7})
    assert list(members.trees) == ["small", "big"]
    assert members.rates == {"small": 0.3, "big": 0.7}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpus": None}, "neither corpus nor mixture is set"),
        ({"modules": "m"}, "set mixture to a name of theirs"),
        ({"rates": {"bigger": 1}}, "no Task 'bigger' in corpus; expected of big, small, none"),
        ({"mixture": "big", "rates": {"big": 1}}, "'big' is a Task, which takes no rates"),
        ({"rates": {"big": -1.0}}, "the rate of big is -1.0"),
        ({"rates": {"big": float("nan")}}, "the rate of big is nan"),
        ({"rates": {"big": 0.0, "small": 0.0}}, "all rates are 0"),
    ],
)
def test_what_makes_no_mixture_is_refused(blend, settings, message):
    with pytest.raises(InputError, match=message) as error:
        blend(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rates", [{"big": 0.9, "small": 0.1}, {"small": 3, "big": 1, "none": 5}])
def test_rates_hold_within_a_percent_of_the_tokens(corpus, rates, tokenizer_file, tmp_path):
    settings = {"tokenizer": tokenizer_file, "sequence_length": 64, "output": tmp_path / "rows"}
    build(corpus=corpus, rates=rates, mixture="mixed", workers=0, **settings)
    info = read_info(tmp_path / "rows")
    total = sum(rate for name, rate in rates.items() if name != "none")
    for name, rate in rates.items():
        share = info.sources[name]["tokens"] / info.tokens
        assert share == pytest.approx(0 if name == "none" else rate / total, abs=0.01)
    assert info.parameters["mixture"] == "mixed"


NESTED = """
import seqio

add = seqio.MixtureRegistry.add
add("{name}_inner", [("nested_big", {big}), ("nested_small", 1.0)])
add("{name}_none", [("nested_big", 0.0)])
add("{name}", [("{name}_inner", 0.5), ("nested_none", {none}), ("{name}_none", {last})])
"""


@pytest.mark.parametrize(
    ("number", "fields", "expected"),
    [
        (1, {"big": 3.0, "none": 0.5, "last": None}, {"big": 0.375, "small": 0.125, "none": 0.5}),
        (2, {"big": 0.0, "none": 0.0, "last": None}, {"big": 0.0, "small": 0.5, "none": 0.0}),
        (3, {"big": 3.0, "none": 0.5, "last": 1.0}, "ZeroDivisionError: .*; set each to a number"),
        (4, {"big": "'x'", "none": 0.5, "last": None}, "could not convert string to float"),
        (5, {"big": "lambda task: 1 / 0", "none": 1, "last": None}, "rates: ZeroDivisionError"),
        (6, {"big": -1.0, "none": 0.5, "last": None}, "ZeroDivisionError|the rate of"),
        (7, {"big": "float('nan')", "none": 1, "last": None}, "the rate of nested_big is nan"),
    ],
)
def test_mixtures_within_a_mixture_share_its_rate(
    blend, corpus, tmp_path, number, fields, expected
):
    pytest.importorskip("seqio")
    name = f"nested{number}"
    text = NESTED.format(name=name, **fields)
    if fields["last"] is None:
        text = text.replace(f', ("{name}_none", None)', "")
    (tmp_path / f"{name}_module.py").write_text(text)
    trees = {f"nested_{key}": path for key, path in corpus.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        if isinstance(expected, dict):
            rates = blend(name, [f"{name}_module"], corpus=trees).rates
            assert rates == {f"nested_{key}": pytest.approx(rate) for key, rate in expected.items()}
            return
        with pytest.raises(InputError, match=expected) as error:
            blend(name, [f"{name}_module"], corpus=trees)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("modules", ["blend_one,blend_two", " blend_one , blend_two"])
def test_modules_are_a_list(blend, tmp_path, monkeypatch, modules):
    pytest.importorskip("seqio")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "blend_one.py").write_text("")
    mixture = "import seqio\nseqio.MixtureRegistry.add('blend_of_two', [('big', 0.8)])\n"
    (tmp_path / "blend_two.py").write_text(mixture)
    monkeypatch.delitem(sys.modules, "blend_two", raising=False)
    pytest.importorskip("seqio").MixtureRegistry.remove("blend_of_two")
    members = blend("blend_of_two", modules)
    assert members.modules == ("blend_one", "blend_two")
    assert list(members.trees) == ["big"]


@pytest.mark.parametrize("modules", [",", "a,", "a,,b", ("a", "")])
def test_an_empty_module_is_refused(blend, modules):
    with pytest.raises(InputError, match=r"modules is .*, which has an empty entry; set it to"):
        blend("mixture", modules)


def test_a_module_s_mixture_may_have_trees_of_the_corpus(corpus, tokenizer_file, tmp_path):
    pytest.importorskip("seqio")
    (tmp_path / "blend_of_trees.py").write_text(
        "import seqio\n"
        "seqio.MixtureRegistry.add('blend_of_trees', [('blend_big', 0.8), ('blend_small', 0.2)])\n"
    )
    trees = {f"blend_{name}": corpus[name] for name in ("big", "small")}
    sys.path.insert(0, str(tmp_path))
    settings = {"tokenizer": tokenizer_file, "sequence_length": 64, "output": tmp_path / "rows"}
    try:
        build(corpus=trees, mixture="blend_of_trees", modules=["blend_of_trees"], **settings)
        with pytest.raises(InputError, match="'blend_of_tree' is no registered Task or Mixture"):
            build(corpus=trees, mixture="blend_of_tree", modules=["blend_of_trees"], **settings)
        wrong = {"a-b": SourceTree(path=str(corpus["big"]))}
        with pytest.raises(InputError, match="expected letters, digits and _"):
            build(corpus=wrong, mixture="blend_of_trees", modules=["blend_of_trees"], **settings)
    finally:
        sys.path.remove(str(tmp_path))
    info = read_info(tmp_path / "rows")
    assert info.sources["blend_big"]["tokens"] / info.tokens == pytest.approx(0.8, abs=0.01)
    assert list(info.parameters["modules"]) == ["blend_of_trees:blend_of_trees.py"]
