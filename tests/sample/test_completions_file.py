import gzip
import json
import os

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


@settings(max_examples=50)
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


@pytest.mark.parametrize("content", ["a note without an end", '{"task_id": "t", "completion": ""}'])
def test_a_file_of_something_else_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "out.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match="no manifest"):
        CompletionsFile(path, {"seed": 0})
    assert path.read_text() == content
    manifest = tmp_path / "out.jsonl.job.json"
    path.unlink()
    manifest.write_text(content)
    with pytest.raises(InputError, match="exists, and this command didn't write it"):
        CompletionsFile(path, {"seed": 0})
    assert manifest.read_text() == content


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ({"seed": 0}, {"seed": 1}, "seed was 0, is 1"),
        ({"weights": "a"}, {"weights": "b"}, "weights was a, is b"),
        ({"problems": {"t/0": "a"}}, {"problems": {"t/0": "b"}}, r"problems\.t/0 was a, is b"),
        ({"problems": {"t/0": "a"}}, {"problems": {}}, r"problems\.t/0 was a, is None"),
    ],
)
def test_whatever_changed_is_named(tmp_path, before, after, name):
    path = tmp_path / "out.jsonl"
    write(path, LINES, before)
    with pytest.raises(InputError, match=name):
        CompletionsFile(path, after)


@pytest.mark.parametrize("manifest", [None, "", "[]", "{"])
def test_lines_without_a_manifest_are_another_program_s(tmp_path, manifest):
    path = tmp_path / "out.jsonl"
    path.write_text('{"task_id": "t", "completion": ""}\n')
    if manifest is not None:
        (tmp_path / "out.jsonl.job.json").write_text(manifest)
    with pytest.raises(InputError, match=r"no manifest out\.jsonl\.job\.json"):
        CompletionsFile(path, {})
    assert path.read_text() == '{"task_id": "t", "completion": ""}\n'


def test_a_second_run_is_refused_while_the_first_one_writes(tmp_path):
    path = tmp_path / "out.jsonl"
    with CompletionsFile(path, {}), pytest.raises(InputError, match="another run writes to it"):
        CompletionsFile(path, {})
    write(path, LINES, {})


@pytest.mark.parametrize("cut", [0, 1, 12, 40, 60, 100])
def test_gzip_by_name_continues_after_any_cut(tmp_path, cut):
    path = tmp_path / "out.jsonl.gz"
    for line in LINES:
        write(path, [line], {})
    content = path.read_bytes()
    assert content[:2] == b"\x1f\x8b"
    path.write_bytes(content[: len(content) - cut])
    write(path, LINES, {})
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == [line.task_id for line in LINES]


def test_what_can_not_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text.gz").write_text("no gzip\n")
    (tmp_path / "text.gz.job.json").write_text("{}")
    for name, message in [
        ("file/out.jsonl", "set output to a file that can be written"),
        ("folder", "set output to a file that can be written"),
        ("pipe", "is no ordinary file; set output to a file that can be written"),
        ("x" * 300, "set output to a file that can be written"),
        ("text.gz", "not gzip"),
    ]:
        with pytest.raises(InputError, match=message):
            CompletionsFile(tmp_path / name, {})
