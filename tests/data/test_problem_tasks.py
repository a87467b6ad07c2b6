"""The Tasks codex_s and codex_d: built into rows, in mixtures, by seqio itself."""

import json

import numpy as np
import pytest

pytest.importorskip("seqio")

import seqio

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.examples.problem_examples import ProblemFiles
from codex_jax.data.packing.row_store import DROPPED, read_info
from codex_jax.data.seqio_tasks.problem_tasks import add_problem_tasks
from codex_jax.main import cli

from .conftest import read_rows
from .test_problem_examples import SECRET, lines, problem

SETTINGS = {"sequence_length": 64, "indent_split_rate": 0.0, "validation_share": 0.3}


@pytest.fixture
def problem_file(tmp_path):
    path = tmp_path / "problems.jsonl"
    long = problem(1, task_id="long", canonical_solution="    return x\n" * 200)
    path.write_text("".join(lines([*(problem(n) for n in range(40)), long])))
    return path


@pytest.mark.parametrize("task", ["codex_s", "codex_d"])
def test_a_task_is_packed_with_loss_on_its_text_alone(
    task, problem_file, tokenizer, tokenizer_file, tmp_path
):
    options = {"mixture": task, "tokenizer": tokenizer_file, "output": tmp_path / "rows"}
    info = build(problems=[str(problem_file)], **options, **SETTINGS)
    assert info.sources[task]["dropped"] == {"longer than a row": 1}
    assert "'long'\tlonger than a row" in (tmp_path / "rows" / DROPPED).read_text()
    held_out = read_info(tmp_path / "rows" / "validation").sources[task]["documents"]
    assert 0 < held_out < 40
    assert info.sources[task]["documents"] == 40 - held_out
    rows = read_rows(tmp_path / "rows")
    first = rows["segment_ids"][0] == 1
    weighed = rows["targets"][0][first & (rows["loss_weights"][0] > 0)]
    assert weighed[-1] == tokenizer.eos_id
    text = tokenizer.decode(weighed[:-1])
    assert text.strip().startswith("return x +" if task == "codex_s" else "Adds")
    everything = tokenizer.decode(rows["targets"][rows["segment_ids"] > 0])
    assert SECRET not in everything


def test_the_same_problems_are_built_once_and_changed_ones_again(
    problem_file, tokenizer_file, tmp_path, capsys
):
    options = {"mixture": "codex_s", "tokenizer": tokenizer_file, "output": tmp_path / "rows"}
    first = build(problems=str(problem_file), **options, **SETTINGS)
    assert build(problems=str(problem_file), **options, **SETTINGS).fingerprint == first.fingerprint
    assert "up to date" in capsys.readouterr().out
    problem_file.write_text(problem_file.read_text() + "".join(lines([problem(99)])))
    assert build(problems=str(problem_file), **options, **SETTINGS).state != first.state


def test_problems_and_trees_make_a_mixture(problem_file, tree, tokenizer_file, tmp_path):
    info = build(
        corpus={"library": tree},
        problems=[str(problem_file)],
        rates={"library": 0.5, "codex_s": 0.5},
        tokenizer=tokenizer_file,
        output=tmp_path / "rows",
        **SETTINGS,
    )
    tokens = [info.sources[name]["tokens"] for name in ("library", "codex_s")]
    assert tokens[0] == pytest.approx(tokens[1], rel=0.05)


def test_seqio_reads_the_tasks_by_their_names(problem_file, tokenizer):
    files = ProblemFiles(paths=(str(problem_file),), validation_share=0.0, sequence_length=64)
    assert [task.name for task in add_problem_tasks(files, tokenizer)] == ["codex_s", "codex_d"]
    task = seqio.get_mixture_or_task("codex_s")
    assert list(task.splits) == ["train"]
    example = next(task.get_dataset(None, "train", shuffle=False).as_numpy_iterator())
    ids, weights = example["targets"], example["weights"]
    assert ids.shape == weights.shape
    assert tokenizer.decode(ids[np.flatnonzero(weights)]).endswith("return x + 0\n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "problems are set, but no mixture; set mixture to codex_s or codex_d"),
        ({"mixture": "codex_t"}, "'codex_t' is no registered Task or Mixture"),
        ({"mixture": "codex_s", "validation_share": -1}, "validation_share is -1"),
        ({"mixture": "codex_s", "workers": -1}, "workers is -1; set it to a whole number"),
        ({"mixture": "codex_s", "sequence_length": 1}, "sequence_length is 1; expected at least 2"),
        ({"mixture": "codex_s", "sequence_length": 10**10}, "10000000000; .*at most 1,048,576"),
        ({"mixture": "codex_s", "corpus": {"codex_s": "/usr"}}, "corpus 'codex_s': problems make"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings, message, problem_file, tokenizer_file, tmp_path
):
    options = {"tokenizer": tokenizer_file, "output": tmp_path / "rows", **SETTINGS}
    with pytest.raises(InputError, match=message):
        build(problems=[str(problem_file)], **options | settings)


def test_several_files_stand_between_commas(problem_file, tokenizer_file, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(problem(77)) + "\n")
    words = [f"--problems={problem_file},{other}", "--mixture=codex_s", "--sequence_length=64"]
    words += [f"--tokenizer={tokenizer_file}", f"--output={tmp_path / 'rows'}"]
    assert cli.main(["data", "build", *words]) == 0
    assert "Python    42 " in capsys.readouterr().out


def test_no_problem_that_fits_is_an_error_with_the_reasons(tokenizer_file, tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(problem(1, prompt="def f1(x):\n")))
    options = {"tokenizer": tokenizer_file, "output": tmp_path / "rows", **SETTINGS}
    with pytest.raises(InputError, match=r"no usable file in codex_d: 1 no docstring"):
        build(problems=[str(path)], mixture="codex_d", **options)
