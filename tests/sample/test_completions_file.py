import json

import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.records import Completion
from codex_jax.sample.completions_file import CompletionsFile

LINES = [Completion(task_id=f"t/{n}", completion="é\n" * n, sample_index=n) for n in range(4)]


def write(path, lines, manifest):
    with CompletionsFile(path, manifest) as file:
        for line in lines:
            file.append(line)
        return file.done


def test_a_file_and_its_manifest(tmp_path):
    path = tmp_path / "new" / "out.jsonl"
    write(path, LINES[:2] + LINES[:1], {"seed": 0})
    assert [json.loads(line)["task_id"] for line in path.read_text().splitlines()] == ["t/0", "t/1"]
    assert json.loads((tmp_path / "new" / "out.jsonl.job.json").read_text()) == {"seed": 0}


@settings(max_examples=50, deadline=None)
@hypothesis.given(cut=st.integers(0, 400))
def test_after_any_cut_it_continues_with_what_is_missing(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "out.jsonl"
    write(path, LINES, {})
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    assert write(path, LINES, {}) == {(line.task_id, line.sample_index) for line in LINES}
    assert path.read_bytes() == content


def test_other_settings_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "out.jsonl"
    write(path, LINES, {"seed": 0, "step": 1})
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"\(seed, step differ: seed was 0, is 1\); set output"):
        CompletionsFile(path, {"seed": 1, "step": None})
    assert path.read_bytes() == before
    write(path, [], {"seed": 0, "step": 1})
