"""A user's module with Tasks of three sources and a Mixture: build, train, validate."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pyarrow
import pytest

pytest.importorskip("seqio")

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.packing.batches import BatchReader
from codex_jax.data.packing.row_store import read_info
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.data.task_metrics import TaskMetrics
from codex_jax.model import DecoderConfig
from codex_jax.tokenizer import Tokenizer
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.validation import Validation

ROOT = pathlib.Path(__file__).parents[2]
MODULE = """
import seqio

from codex_jax.data.corpus import SourceTree
from codex_jax.data.seqio_tasks.sources import JsonLinesDataSource
from codex_jax.data.seqio_tasks.tasks import add_tree_task
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

tokenizer = Tokenizer.load({tokenizer!r})
features = {{"targets": seqio.Feature(BytePairVocabulary(tokenizer))}}


def rename(field):
    return lambda dataset: dataset.map(lambda row: {{"targets": row[field] if field else row}})


tree = SourceTree(path={tree!r}, validation_share=0.1, infilling=0.5)
add_tree_task("library", tree, tokenizer)
files = {{"train": "{folder}/t.txt", "validation": "{folder}/v.txt"}}
for name, source, field in (
    ("lines", seqio.TextLineDataSource(files), ""),
    ("rows", JsonLinesDataSource({{"train": "{folder}/rows.jsonl"}}), "text"),
    ("empty", seqio.TextLineDataSource({{"train": "{folder}/empty.txt"}}), ""),
):
    seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=[rename(field), seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features=features,
    )
rates = {{"library": 0.5, "lines": 0.3, "rows": 0.2, "empty": 0.4}}
seqio.MixtureRegistry.add("blend", list(rates.items()))
"""
RATES = {"library": 0.5, "lines": 0.3, "rows": 0.2, "empty": 0.0}


@pytest.fixture(scope="module")
def folder(tree, tokenizer_file, tmp_path_factory):
    root = tmp_path_factory.mktemp("module")
    lines = [f"line {n} greets {n * n}\n" for n in range(1100)]
    (root / "t.txt").write_text("".join(lines[:1000]))
    (root / "v.txt").write_text("".join(lines[1000:]))
    texts = (f"def f{n}(x):\n    return x + {n}\n" * (n % 9 + 1) for n in range(300))
    (root / "rows.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (root / "empty.txt").touch()
    module = MODULE.format(tokenizer=str(tokenizer_file), tree=str(tree), folder=root)
    (root / "blend_module.py").write_text(module)
    return root


@pytest.fixture(scope="module")
def blend_rows(folder, tokenizer_file):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        settings = {"mixture": "blend", "modules": "blend_module", "sequence_length": 64}
        build(**settings, tokenizer=tokenizer_file, output=folder / "blend")
        yield folder / "blend"


def test_rates_hold_by_tokens_and_an_empty_member_is_counted(blend_rows):
    info = read_info(blend_rows)
    for name, rate in RATES.items():
        assert info.sources[name]["tokens"] / info.tokens == pytest.approx(rate, abs=0.01)
    assert info.sources["empty"]["documents"] == 0


def test_no_infilled_text_is_torn(blend_rows, tokenizer):
    reader = BatchReader(blend_rows, batch_size=1, seed=0)
    marks = [tokenizer.special_id(f"<|fim_{name}|>") for name in ("prefix", "middle", "suffix")]
    infilled = 0
    for step in range(reader.row_count):
        batch = reader.batch(step)
        for segment in range(1, batch.segment_ids.max() + 1):
            targets = batch.targets[batch.segment_ids == segment]
            counts = {int((targets == mark).sum()) for mark in marks}
            assert len(counts) == 1
            infilled += counts == {1}
    assert infilled > 50


def test_training_validates_by_task(blend_rows, tmp_path):
    reader = BatchReader(blend_rows, batch_size=8, seed=0)
    model = DecoderConfig(vocab_size=reader.vocab_size, layers=1, width=32, heads=2, max_length=64)
    settings = {"optimizer": Optimizer(warmup_steps=1), "validation": Validation(every=2)}
    metrics = train(batches=reader, model=model, checkpoint_dir=str(tmp_path), steps=3, **settings)
    for task in ("library", "lines"):
        assert 0 < metrics[f"validation/{task}/loss"] < 10
        assert metrics[f"validation/{task}/bits_per_byte"] > 0
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert ["validation/loss" in json.loads(line) for line in lines] == [False, True, True]


def test_training_computes_the_tasks_metrics_through_seqio(blend_rows, tmp_path):
    reader = BatchReader(blend_rows, batch_size=8, seed=0)
    model = DecoderConfig(vocab_size=reader.vocab_size, layers=1, width=32, heads=2, max_length=64)
    settings = {"optimizer": Optimizer(warmup_steps=1), "validation": Validation(every=2)}
    settings |= {"batches": reader, "model": model, "steps": 2}
    task_metrics = TaskMetrics(mixture="blend", modules="blend_module", examples=4)
    metrics = train(**settings, checkpoint_dir=str(tmp_path / "a"), task_metrics=task_metrics)
    value = metrics["validation/library/log_likelihood"]
    assert -10_000 < value < -10
    assert "validation/lines/loss" in metrics
    task_metrics._evaluators.vocabulary = BytePairVocabulary(
        Tokenizer.train(["another text\n"], vocab_size=350)
    )
    with pytest.raises(InputError, match="the Tasks' tokenizer is"):
        train(**settings, checkpoint_dir=str(tmp_path / "b"), task_metrics=task_metrics)


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_hosts_read_the_same_batches_and_resume(blend_rows, hosts):
    reader = BatchReader(blend_rows, batch_size=8, seed=1)
    share = 8 // hosts
    for step in (0, 5):
        resumed = BatchReader(blend_rows, batch_size=8, seed=1)
        parts = [
            next(resumed.batches(step, slice(n * share, (n + 1) * share))) for n in range(hosts)
        ]
        tokens = np.concatenate([part.tokens for part in parts])
        np.testing.assert_array_equal(tokens, reader.batch(step).tokens)


def test_the_state_follows_content_and_module(blend_rows, folder, tokenizer_file, capsys):
    settings = {"mixture": "blend", "modules": "blend_module", "sequence_length": 64}
    settings |= {"tokenizer": tokenizer_file, "output": blend_rows}
    before = build(**settings)
    assert "up to date" in capsys.readouterr().out
    with (folder / "t.txt").open("a") as out:
        out.write("a line more\n" * 50)
    after_content = build(**settings)
    module = folder / "blend_module.py"
    module.write_text(module.read_text() + "# changed\n")
    after_module = build(**settings)
    assert len({info.fingerprint for info in (before, after_content, after_module)}) == 3


@pytest.mark.slow
def test_the_documented_module_is_learnt_built_and_trained(tree, tmp_path):
    page = (ROOT / "docs" / "data.md").read_text()
    module = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "my_tasks.py").write_text(module)
    shutil.copytree(tree, tmp_path / "sources")
    (tmp_path / "train.txt").write_text("".join(f"line {n}\n" for n in range(900)))
    (tmp_path / "valid.txt").write_text("a line\n" * 90)
    rows = "".join(json.dumps({"targets": f"def f{n}(): pass\n"}) + "\n" for n in range(300))
    (tmp_path / "rows-1.jsonl.zst").write_bytes(
        pyarrow.compress(rows.encode(), "zstd", asbytes=True)
    )

    def run(*words):
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-m", "codex_jax", *words]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr

    blend = ("--mixture=blend", "--modules=my_tasks")
    run("tokenizer", "--vocab_size=400", "--output=tokenizer.json", *blend)
    run(
        "data",
        "build",
        "--tokenizer=tokenizer.json",
        "--output=rows",
        "--sequence_length=64",
        *blend,
    )
    info = read_info(tmp_path / "rows")
    for name, rate in {"library": 0.5, "lines": 0.3, "rows": 0.2}.items():
        assert info.sources[name]["tokens"] / info.tokens == pytest.approx(rate, abs=0.01)
    sizes = ("--layers=1", "--width=32", "--heads=2", "--max_length=64", "--batch_size=8")
    steps = ("--steps=2", "--every=1", "--warmup_steps=1", "--gin.BatchReader.seed=0")
    run("train", "--rows=rows", "--checkpoint_dir=run", *sizes, *steps, *blend)
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"validation/lines/loss", "validation/library/log_likelihood"} <= last.keys()
