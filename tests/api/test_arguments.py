"""Arguments of other types and names are refused in a line, and a refused call changes nothing."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

import codex_jax as cj
from codex_jax.api import arguments
from tests.sample.conftest import trained  # noqa: F401 - a fixture

PROBLEM = {
    "task_id": "d",
    "prompt": "def d(x):",
    "entry_point": "d",
    "test": "def check(d): assert d(2) == 4",
}


def command(*, folder: str, size: int = 1, names: Sequence[str] = (), table: Mapping | None = None):
    return folder, size, names, table


def test_settings_have_the_names_and_types_of_the_command():
    fitted = arguments.fit_settings(command, {"folder": "a", "size": np.int64(3), "names": ["b"]})
    assert command(**fitted) == ("a", 3, ("b",), None)
    assert type(fitted["size"]) is int


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folder": "a", "sise": 2}, "no setting sise; did you mean size"),
        ({"size": 2}, "not set: folder; set folder"),
        ({"folder": 5}, "folder is 5; set it to str"),
        ({"folder": "a", "size": 1.5}, "size is 1.5; set it to int"),
        ({"folder": "a", "names": "b"}, r"names is 'b'; set it to Sequence\[str\]"),
        ({"folder": "a", "table": [1]}, r"table is \[1\]; set it to Mapping | None"),
    ],
)
def test_other_settings_are_refused(settings, message):
    with pytest.raises(cj.InputError, match=message):
        arguments.fit_settings(command, settings)


@pytest.mark.parametrize("value", [None, 5, b"a", "", ["a"]])
def test_what_is_no_path_is_refused(value):
    arguments.check_path("folder", pathlib.Path("a"))
    with pytest.raises(cj.InputError, match=r"folder is .*; set it to the path"):
        arguments.check_path("folder", value)


def test_items_come_from_any_iterable_but_a_text():
    assert arguments.list_items("ks", (k for k in (1, 2)), int, "whole numbers") == [1, 2]
    for values in ("ab", b"ab", None, 5, [1, "a"]):
        with pytest.raises(cj.InputError, match="set it to a list of whole numbers"):
            arguments.list_items("ks", values, int, "whole numbers")


@pytest.fixture(scope="module")
def model(trained):  # noqa: F811
    return cj.load(
        trained["checkpoint_dir"], tokenizer=trained["tokenizer"], batch_size=8, max_new_tokens=8
    )


@pytest.mark.parametrize(
    ("prompt", "settings", "message"),
    [
        (b"def", {}, "prompt is b'def'"),
        ("def", {"n": -1}, "complete.n is -1"),
        ("def", {"n": 1.5}, "complete.n is 1.5"),
        ("def", {"seed": "x"}, "complete.seed is 'x'"),
        ("def", {"max_new_tokens": 1.5}, "max_new_tokens is 1.5"),
        ("def", {"max_new_tokens": 99}, "99 new tokens; expected 1 to 8"),
        ("def", {"stops": "\n"}, r"stops is '\\n'; set it to Sequence"),
        ("def", {"stops": [""]}, "stops contains an empty string"),
        ("def", {"stops": [1]}, r"stops is \[1\]"),
        ("def", {"temprature": 1.0}, "no setting temprature; did you mean temperature"),
        ("def", {"temperature": "hot"}, "temperature is 'hot'"),
        ("def", {"logit_bias": {"5": 1}}, "logit_bias is"),
        ("def", {"logit_bias": {5: float("nan")}}, "logit_bias is"),
        ("def", {"logit_bias": {999: 1}}, "token 999"),
    ],
)
def test_a_refused_prompt_leaves_the_model_as_it_was(model, prompt, settings, message):
    before = model.complete("def f(x):", n=2)
    with pytest.raises(cj.InputError, match=message):
        model.complete(prompt, **settings)
    assert model.complete("def f(x):", n=2) == before
    assert model.complete("def f(x):", n=np.int64(2), seed=np.int64(0)) == before


def test_an_interrupted_call_leaves_no_samples_to_the_next(model, monkeypatch):
    before = model.complete("def f(x):")

    def interrupt(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model.engine, "step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.complete("    return x", n=3)
    assert model.complete("def f(x):") == before


@pytest.mark.parametrize(
    ("problem", "completions", "settings", "message"),
    [
        (PROBLEM, " return 4", {}, "completions is ' return 4'; set it to a list of texts"),
        (PROBLEM, [b" return 4"], {}, "completions contains b' return 4'"),
        (PROBLEM, [" return 4"], {"timout_s": 1}, "no setting timout_s; did you mean timeout_s"),
        (PROBLEM, [" return 4"], {"output": "here"}, "no setting output"),
        (None, [" return 4"], {}, "problem is None"),
        ({"task_id": "d"}, [" return 4"], {}, "problem: Problem lacks prompt"),
        (PROBLEM | {"task_id": 5}, [" return 4"], {}, "task_id must be a string"),
        (PROBLEM | {"test": {1, 2}}, [" return 4"], {}, "set its fields to JSON's values"),
    ],
)
def test_what_cannot_be_judged_is_refused(problem, completions, settings, message):
    with pytest.raises(cj.InputError, match=message):
        cj.judge(problem, completions, **settings)


@pytest.mark.parametrize("ks", ["1", 1, None, (0,), (-1,), (1.5,)])
def test_other_ks_are_refused(ks):
    verdicts = [cj.Verdict(task_id="a", verdict="passed")]
    assert cj.pass_at_k(iter(verdicts), ks=np.array([1]))[1].mean == 1
    with pytest.raises(cj.InputError, match="ks"):
        cj.pass_at_k(verdicts, ks=ks)


def test_training_needs_rows_and_fields_of_the_model(tmp_path):
    with pytest.raises(cj.InputError, match=r"rows is 'rows'; set it to what cj.read_rows returns"):
        cj.train_decoder("rows", tmp_path, steps=1)
    with pytest.raises(cj.InputError, match="vocab_size is '400'; set it to int"):
        cj.train_tokenizer({"a": "b"}, tmp_path / "t.json", vocab_size="400")
    with pytest.raises(cj.InputError, match=r"sequence_length is 6.5; set it to int"):
        cj.build_rows({"a": "b"}, "t.json", tmp_path / "rows", sequence_length=6.5)
