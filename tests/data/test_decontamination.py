"""Documents that hold an evaluation problem."""

import json

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
