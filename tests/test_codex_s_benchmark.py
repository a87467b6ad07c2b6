"""benchmarks/codex_s*.py: their parts on small files, and the GPU's script with three steps."""

import importlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
LENGTH = 64
BODY = "    return x + 1\n"


@pytest.fixture(scope="module")
def gpu():
    return importlib.import_module("codex_s_gpu")


@pytest.fixture(scope="module")
def functions():
    return importlib.import_module("codex_s_functions")


@pytest.fixture(scope="module")
def study():
    return importlib.import_module("codex_s")


@pytest.fixture(scope="module")
def judge():
    return importlib.import_module("codex_s_judge")


@pytest.fixture(scope="module")
def bpe():
    from codex_jax.tokenizer import Tokenizer

    return Tokenizer.train(["def f(x):\n    return x\n"] * 3, vocab_size=400)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_rows(functions, bpe, folder, count=12):
    functions.LENGTH = LENGTH
    texts = [f"def f{n}(x):\n{BODY * (n % 4 + 1)}" for n in range(count)]
    bpe.save(folder.parent / "tokenizer.json")
    arrays = [np.array(bpe.encode(text), np.int32) for text in texts]
    functions.write_rows(
        [a for a in arrays if len(a) < LENGTH], folder.parent / "tokenizer.json", folder
    )


def test_rows_are_the_same_after_the_trip(gpu, functions, bpe, tmp_path):
    from codex_jax.data.packing.row_store import RowReader

    write_rows(functions, bpe, tmp_path / "rows")
    gpu.compact_rows(tmp_path / "rows", tmp_path / "rows.npz.xz")
    gpu.expand_rows(tmp_path / "rows.npz.xz", tmp_path / "again")
    first, second = RowReader(tmp_path / "rows"), RowReader(tmp_path / "again")
    assert first.info.fingerprint == second.info.fingerprint
    every = np.arange(first.info.rows)
    for name, array in first.read(every).items():
        assert np.array_equal(array, second.read(every)[name]), name


def test_the_best_step_is_the_one_before_which_the_loss_is_the_least(gpu, tmp_path):
    for step in (35, 70):
        (tmp_path / str(step)).mkdir()
    losses = {34: 1.3, 69: 1.4, 104: 1.1}  # 105's checkpoint isn't there
    write_lines(
        tmp_path / "metrics.jsonl",
        [{"step": step, "validation/loss": loss} for step, loss in losses.items()],
    )
    assert gpu.best_step(tmp_path) == 35
    write_lines(tmp_path / "metrics.jsonl", [{"step": 69, "loss": 1.0}])
    assert gpu.best_step(tmp_path) == 70


def test_code_is_asked_for_from_each_docstring(gpu, tmp_path):
    problem = {"task_id": "t/1", "prompt": 'def f(x):\n    """Old."""\n', "entry_point": "f"}
    write_lines(tmp_path / "documented.jsonl", [problem])
    samples = [("Adds one.\n    ", 0), ("", 1), ("Adds 1.", 2)]
    write_lines(
        tmp_path / "codex_d.jsonl",
        [{"task_id": "0.8|t/1", "completion": text, "sample_index": n} for text, n in samples],
    )
    gpu.code_requests(types.SimpleNamespace(work=tmp_path))
    lines = (tmp_path / "codex_d_requests.jsonl").read_text().splitlines()
    requests = {row["custom_id"]: row["body"]["prompt"] for row in map(json.loads, lines)}
    assert list(requests) == ["0.8|t/1#0", "0.8|t/1#2"], "an empty docstring says nothing"
    assert requests["0.8|t/1#0"] == 'def f(x):\n    """Adds one.\n    """\n'
    assert "Old" not in str(requests)


def wheel(path, license_text, source):
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("a/b.py", source)
        members.writestr("a-1.dist-info/METADATA", f"Name: a\nLicense: {license_text}\n\nGPL")


SOURCE = '''import os, re
from . import thing

def first(x):
    """Returns x without its digits."""
    y = re.sub("[0-9]", "", x)
    return y

def second(value):
    """Returns a value without its digits, as the other."""
    text = re.sub("[0-9]", "", value)
    return text

def without_words(x):
    y = x
    z = y
    return z

def without_result(x):
    """Prints x, which makes no problem."""
    y = x
    print(y)
'''


def test_functions_come_with_their_imports_and_once(functions, tmp_path):
    wheel(tmp_path / "a.whl", "MIT", SOURCE)
    texts = functions.read_wheel(tmp_path / "a.whl")
    assert len(texts) == 2
    (text,) = functions.select_texts([texts], set())
    assert text.startswith("import os, re\n\n\ndef first(x):\n")
    assert "thing" not in text
    words = "Returns x without its digits y re sub 0 9 x return y"
    assert functions.select_texts([texts[:1]], functions.runs_of(words)) == []


@pytest.mark.parametrize(
    ("license_text", "count"), [("MIT", 2), ("GPL-3.0", 0), ("MIT OR LGPL", 0), ("", 0)]
)
def test_only_permissive_wheels_are_read(functions, tmp_path, license_text, count):
    wheel(tmp_path / "a.whl", license_text, SOURCE)
    assert len(functions.read_wheel(tmp_path / "a.whl")) == count


def test_no_package_is_both_trained_on_and_held_out(study, tmp_path):
    names = ["a_b", "A-B", "c", "d", "e.f"]
    problems = [
        {"task_id": f"{n}", "package": name, "route": route, "prompt": "p"}
        for n, (name, route) in enumerate(
            (name, route) for name in names for route in ("traces", "candidates")
        )
    ]
    write_lines(tmp_path / "problems.jsonl", problems)
    study.HELD_OUT = 2
    study.split_problems(
        types.SimpleNamespace(problems=tmp_path / "problems.jsonl", folder=tmp_path)
    )
    train, held_out = (
        study.read_lines(tmp_path / f"{name}.jsonl") for name in ("train", "held_out")
    )
    assert len(held_out) == 2
    assert {row["route"] for row in held_out} == {"traces"}
    packages = [{study.normalize(row["package"]) for row in rows} for rows in (train, held_out)]
    assert not packages[0] & packages[1]


def test_greedy_requests_have_one_sample(study):
    requests = study.make_requests([{"task_id": "t", "prompt": "p"}], 20)
    counts = {row["custom_id"]: row["body"]["n"] for row in requests}
    assert counts == {f"{t}|t": 20 if t else 1 for t in study.TEMPERATURES}


SQUARE = {
    "task_id": "HumanEval/0",
    "prompt": "def square(x):\n",
    "entry_point": "square",
    "canonical_solution": "    return x * x\n",
    "test": "def check(candidate):\n    assert candidate(3) == 9\n",
}
HELD_OUT = SQUARE | {"task_id": "traces/p/square"}
RIGHT, WRONG, BROKEN = "    return x * x\n", "    return x + x", "    return (x"


def archive_of(folder, stage, rows):
    """Writes STAGE.tar.gz with samples: (temperature, task_id, index, completion)."""
    path = folder / f"{stage}.jsonl"
    names = ("task_id", "sample_index", "completion")
    lines = [dict(zip(names, (f"{t}|{task}", i, c), strict=True)) for t, task, i, c in rows]
    write_lines(path, lines)
    with tarfile.open(folder / f"{stage}.tar.gz", "w:gz") as archive:
        archive.add(path, path.name)


def fake_evaluation(judge, monkeypatch):
    """Has the right programs pass without a sandbox; returns the completions of each call."""
    calls = []

    def evaluate(_, folder):
        rows = list(judge._read_lines(folder / "completions.jsonl"))
        calls.append([row["completion"] for row in rows])
        (folder / "judged").mkdir()
        for row in rows:
            row["verdict"] = "passed" if "x * x" in row["completion"] else "failed"
        write_lines(folder / "judged/verdicts.jsonl", rows)
        (folder / "judged/report.json").write_text("{}")

    monkeypatch.setattr(judge.Study, "_evaluate", evaluate)
    return calls


def options_of(tmp_path, **settings):
    defaults = {"archives": tmp_path, "verdicts": tmp_path / "verdicts", "workers": 1}
    defaults |= {"samples": 2, "temperatures": (0.2, 0.8), "stages": ("base", "problems")}
    return types.SimpleNamespace(**defaults | {"benchmarks": ("HumanEval",)} | settings)


def test_samples_end_at_their_marker_and_programs_are_judged_once(judge, tmp_path, monkeypatch):
    calls = fake_evaluation(judge, monkeypatch)
    texts = [RIGHT + "<|endoftext|>def g():\n", RIGHT, WRONG, BROKEN]
    rows = [(t, "HumanEval/0", i, text) for t in (0.2, 0.8) for i, text in enumerate(texts)]
    archive_of(tmp_path, "base", [*rows, (0.2, "traces/p/square", 0, RIGHT)])
    archive_of(tmp_path, "problems", rows)
    judge.judge_samples(options_of(tmp_path, samples=4), [SQUARE, HELD_OUT])
    assert calls == [[RIGHT.rstrip(), WRONG]], "no program twice, and none that isn't Python"
    table = (tmp_path / "verdicts/tables.md").read_text()
    assert "| HumanEval | base | 0.2 | 4 | 50.0 (50.0 to 50.0) |  |  |  | 25% |" in table
    assert "| problems | 0.8 | 4 | 50.0 (50.0 to 50.0) | 0.0 (0.0 to 0.0) |" in table
    assert "held out" not in table, "it wasn't to be judged"
    judge.judge_samples(options_of(tmp_path, samples=4), [SQUARE, HELD_OUT])
    assert len(calls) == 1


def test_more_samples_add_to_the_verdicts(judge, tmp_path, monkeypatch):
    calls = fake_evaluation(judge, monkeypatch)
    rows = [(0.2, "HumanEval/0", i, text) for i, text in enumerate((WRONG, RIGHT, "    return 0"))]
    archive_of(tmp_path, "base", [*rows, (0.2, "traces/p/square", 0, RIGHT)])
    for samples, expected in ((1, "1 | 0.0 ("), (3, "3 | 33.3 (")):
        judge.judge_samples(options_of(tmp_path, samples=samples), [SQUARE, HELD_OUT])
        assert f"| base | 0.2 | {expected}" in (tmp_path / "verdicts/tables.md").read_text()
    judge.judge_samples(options_of(tmp_path, benchmarks=("held out",)), [SQUARE, HELD_OUT])
    assert calls == [[WRONG], [RIGHT.rstrip(), "    return 0"], [RIGHT.rstrip()]]


def test_an_interrupted_call_is_continued(judge, tmp_path, monkeypatch):
    archive_of(tmp_path, "base", [(0.2, "HumanEval/0", 0, RIGHT)])
    monkeypatch.setattr(judge.Study, "_evaluate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        judge.judge_samples(options_of(tmp_path), [SQUARE])
    calls = fake_evaluation(judge, monkeypatch)
    judge.judge_samples(options_of(tmp_path), [SQUARE])
    assert calls == [[RIGHT.rstrip()]]
    assert len(list((tmp_path / "verdicts").glob("0*"))) == 1


def test_the_best_temperature_by_k(judge):
    sure = {f"p{n}": (10, 10 if n < 10 else 0) for n in range(40)}  # few problems, always
    broad = {f"p{n}": (10, 2) for n in range(40)}  # all problems, now and then
    curve = {0.2: sure, 0.8: broad}
    assert judge.best_temperature(curve, 10) == (0.8, 0.8, 0.8, 1.0)
    best, low, high, value = judge.best_temperature(curve, 1)
    assert (best, low, value) == (0.2, 0.2, 0.25)
    assert high == 0.8, "ten of forty problems are few"
    lines = judge.best_temperatures({("HumanEval", "base"): curve | {0.0: {}}})
    assert "| HumanEval | base | 10 | 0.8 (0.8 to 0.8) | 100.0 | 10 |" in lines


@pytest.mark.usefixtures("judge")
def test_the_command_judges_in_a_sandbox(study, tmp_path, capsys):
    archive_of(
        tmp_path, "base", [(0.0, "HumanEval/0", 0, RIGHT), (0.0, "traces/p/square", 0, WRONG)]
    )
    write_lines(tmp_path / "humaneval.jsonl", [SQUARE])
    write_lines(tmp_path / "held_out.jsonl", [HELD_OUT])
    study.judge_samples(
        options_of(
            tmp_path,
            folder=tmp_path,
            humaneval=tmp_path / "humaneval.jsonl",
            temperatures=(0.0,),
            benchmarks=study.BENCHMARKS,
        )
    )
    table = capsys.readouterr().out
    assert "| HumanEval | base | 0 | 1 | 100.0 (100.0 to 100.0) |" in table
    assert "| held out | base | 0 | 1 | 0.0 (0.0 to 0.0) |" in table


@pytest.mark.slow
def test_the_script_runs_with_three_steps(functions, bpe, tmp_path):
    import jax

    from codex_jax import checkpoint, model

    config = model.DecoderConfig(vocab_size=bpe.vocab_size, layers=1, width=32, heads=2)
    saved = checkpoint.Checkpoints(tmp_path / "base")
    card = checkpoint.Card(model=config.to_json(), tokenizer_hash=bpe.hash, begin_ids=[])
    saved.save(5, model.init(config, jax.random.key(0)), {"step": np.int32(5)}, card)
    saved.finish()
    saved.close()
    (tmp_path / "rows").mkdir()
    write_rows(functions, bpe, tmp_path / "rows/codex_s")
    bpe.save(tmp_path / "tokenizer.json")
    body = {"prompt": "def f(x):\n", "temperature": 0.5, "n": 2}
    row = {"custom_id": "0.5|t/1", "url": "/v1/completions", "body": body}
    write_lines(tmp_path / "requests.jsonl", [row])
    (tmp_path / "input").mkdir()
    with tarfile.open(tmp_path / "input/small.tar", "w") as archive:
        for name in ("base", "rows", "tokenizer.json", "requests.jsonl"):
            archive.add(tmp_path / name, name)
    words = [tmp_path / "input", tmp_path / "output", "--work", tmp_path / "work"]
    done = subprocess.run(
        ["sh", ROOT / "benchmarks/codex_s_gpu.sh", *words, "--steps=3", "--stages=base,middle"],
        env=os.environ | {"PYTHON": sys.executable, "XLA_FLAGS": "", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "failed: middle" in done.stdout, done.stdout + done.stderr  # it has no rows
    assert done.returncode == 1
    with tarfile.open(tmp_path / "output/base.tar.gz") as archive:
        lines = io.TextIOWrapper(archive.extractfile("base.jsonl")).read().splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == ["0.5|t/1"] * 2
