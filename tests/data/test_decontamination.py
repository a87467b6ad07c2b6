"""Documents that hold an evaluation problem."""

import ast
import builtins
import gzip
import json
import pathlib

import pytest

from codex_jax import InputError
from codex_jax.data.cleaning.decontamination import Decontaminator

from .conftest import WORDS


def test_contamination_needs_thirteen_words_in_a_row(problems):
    contamination = Decontaminator([problems])
    solution = "return sum(abs(x - mean) for x in numbers) / len(numbers)"
    assert contamination.find(f"x = 3\nfive six seven\n{solution} # more") == "T/1"
    assert contamination.find(solution) == ""
    assert contamination.find("short") == contamination.find("") == ""
    assert contamination.names("def mean_deviation(x): ...") == ["T/1"]
    assert contamination.names("def mean_deviations(x): ...") == []


def test_problems_may_be_multipl_es(tmp_path):
    path = tmp_path / "problems.jsonl"
    words = " ".join(WORDS[:20])
    path.write_text(json.dumps({"name": "HumanEval_1_f", "language": "rs", "prompt": words}))
    assert Decontaminator([path]).find(f"x {words} y") == "HumanEval_1_f"
    path.write_text('{"prompt": "x"}')
    with pytest.raises(InputError, match=":1: Problem lacks task_id"):
        Decontaminator([path])
    with pytest.raises(InputError, match="no such file"):
        Decontaminator([tmp_path / "gone"])


RENAMED = """
class Tools:
    def spread(self, xs):
        m = sum(xs) / len(xs)
        return sum(abs(x - m) for x in xs) / len(xs)
"""


def test_a_solution_in_other_words_is_found_by_its_structure(tmp_path):
    problem = {
        "task_id": 7,
        "text": "Write a function.",
        "code": "def deviation(numbers):\n  mean = sum(numbers) / len(numbers)\n"
        "  return sum(abs(n - mean) for n in numbers) / len(numbers)\n",
    }
    path = tmp_path / "mbpp.jsonl"
    path.write_text(json.dumps(problem))
    decontaminator = Decontaminator([path])
    assert decontaminator.find(RENAMED) == "7"
    assert decontaminator.find(RENAMED.replace("abs", "round")) == ""
    assert decontaminator.find(RENAMED, "Ruby") == ""


def test_planted_solutions_of_humaneval_are_found_and_the_library_is_clean():
    path = pathlib.Path("../shared/data/HumanEval.jsonl.gz")
    if not path.is_file():
        pytest.skip("HumanEval isn't at ../shared/data")
    decontaminator = Decontaminator([path])
    problems = list(map(json.loads, gzip.decompress(path.read_bytes()).splitlines()))
    tasks = [
        decontaminator.find(_disguise(p["prompt"] + p["canonical_solution"])) for p in problems
    ]
    assert sum(map(bool, tasks)) >= 160
    library = pathlib.Path(json.__file__).parent.parent
    files = [*library.glob("[a-d]*.py"), *library.glob("json/*.py")]
    assert not [f.name for f in files if decontaminator.find(f.read_text("utf-8", "replace"))]


def _disguise(source):
    """Other names, no docstrings or annotations, another layout."""
    tree = ast.parse(source)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.name = names.setdefault(node.name, f"f{len(names)}")
            node.returns, node.body = (
                None,
                node.body[bool(ast.get_docstring(node)) :] or [ast.Pass()],
            )
        for field in ("id", "arg"):
            if (name := getattr(node, field, None)) and not hasattr(builtins, name):
                setattr(node, field, names.setdefault(name, f"v{len(names)}"))
        if isinstance(node, ast.arg):
            node.annotation = None
    return "import os\n\n" + ast.unparse(tree)
