"""The documented examples of the Python interface, run as one session; what importing costs."""

import ast
import doctest
import inspect
import os
import pathlib
import subprocess
import sys
import time

import pytest

import codex_jax as cj
from codex_jax.api import completion, judging, training
from codex_jax.evaluate.sandbox import python_sandbox

FUNCTIONS = [
    *(training.train_tokenizer, training.build_rows, training.read_rows, training.train_decoder),
    *(completion.load, completion.Model.complete, judging.judge, judging.pass_at_k),
]


class Values(doctest.OutputChecker):
    """Compares the values that an example shows; progress printed on the way is no value."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A working directory with a folder of sources."""
    (tmp_path / "sources").mkdir()
    for number in range(20):
        text = "".join(f"def f{number}_{i}(x):\n    return x + {i}\n\n\n" for i in range(20))
        (tmp_path / "sources" / f"f{number}.py").write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sandboxed():
    try:
        python_sandbox.choose_backend("auto")
    except cj.InputError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("sources", "sandboxed")
def test_the_examples_are_a_session_that_works():
    names = {"cj": cj}
    for function in FUNCTIONS:
        text = inspect.getdoc(function)
        test = doctest.DocTestParser().get_doctest(text, names, function.__qualname__, None, None)
        assert test.examples, f"{function.__qualname__} has no example"
        output = []
        doctest.DocTestRunner(Values()).run(test, out=output.append, clear_globs=False)
        assert not output, "".join(output)
        names |= test.globs


def test_every_function_of_the_interface_has_an_example():
    texts = [
        pathlib.Path(module.__file__).read_text() for module in (training, completion, judging)
    ]
    public = {
        node.name
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert public == {function.__name__ for function in FUNCTIONS}


def test_the_lazy_table_and_the_types_name_the_same():
    tree = ast.parse(pathlib.Path(cj.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    types = {node.names[0].name: node.module for node in block.body}
    assert types == cj._LAZY
    assert set(cj._LAZY) <= set(dir(cj))
    for name, module in types.items():
        assert getattr(cj, name) is getattr(sys.modules[module], name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'codex_jax' has no attribute 'laod'"):
        cj.laod  # noqa: B018


@pytest.mark.usefixtures("sandboxed")
def test_judge_takes_records_and_settings():
    problem = cj.Problem(
        task_id="a/0", prompt="def f():", entry_point="f", test="def check(f): assert f() == 1"
    )
    verdicts = cj.judge(problem, [" return 1", " return 2", " while True: pass"], timeout_s=0.5)
    assert [verdict.passed for verdict in verdicts] == [True, False, False]
    assert [verdict.sample_index for verdict in verdicts] == [0, 1, 2]
    assert cj.judge(problem, []) == []


def test_pass_at_k_is_the_estimate_over_problems():
    verdicts = [
        cj.Verdict(task_id=task, sample_index=i, verdict="passed" if i < right else "failed")
        for task, right in (("a", 2), ("b", 0))
        for i in range(4)
    ]
    estimates = cj.pass_at_k(verdicts, ks=(1, 2))
    assert estimates[1].mean == 0.25
    assert estimates[2].mean == pytest.approx((1 - 1 / 6) / 2)


def test_a_missing_checkpoint_is_an_input_error(tmp_path):
    with pytest.raises(cj.InputError, match=r"none\.json"):
        cj.load(tmp_path / "none", tokenizer=tmp_path / "none.json")


def test_importing_costs_less_than_a_tenth_of_a_second():
    bare = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    seconds = []
    for code in ["pass", "import codex_jax"] * 5:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-S", "-c", code], check=True, env=bare)
        seconds.append(time.perf_counter() - start)
    assert min(seconds[1::2]) - min(seconds[::2]) < 0.1, seconds
