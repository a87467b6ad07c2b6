"""metric_fns of Tasks go through seqio's Evaluator, on scores and predictions of a model."""

import numpy as np
import pytest

pytest.importorskip("seqio")

from codex_jax import InputError
from codex_jax.data.task_metrics import TaskMetrics

MODULE = """
import seqio

from codex_jax.data.corpus import SourceTree
from codex_jax.data.seqio_tasks.sources import JsonLinesDataSource
from codex_jax.data.seqio_tasks.tasks import add_tree_task, edit_similarity, exact_match
from codex_jax.data.seqio_tasks.tasks import log_likelihood
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

tokenizer = Tokenizer.load({tokenizer!r})
feature = seqio.Feature(BytePairVocabulary(tokenizer), add_eos=True)


def add(name, split, metric_fns, names=("inputs", "targets")):
    seqio.TaskRegistry.add(
        name,
        source=JsonLinesDataSource({{split: {rows!r}}}, fields=names),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features=dict.fromkeys(names, feature),
        metric_fns=metric_fns,
    )


def fails(targets, predictions):
    raise ZeroDivisionError("a division")


add("metrics_pairs", "validation", [exact_match, edit_similarity, log_likelihood])
add("metrics_train_only", "train", [exact_match])
add("metrics_no_metric", "validation", [])
add("metrics_no_inputs", "validation", [exact_match], ("targets",))
add("metrics_fail", "validation", [fails])
add_tree_task("metrics_tree", SourceTree(path={tree!r}, validation_share=0.3), tokenizer)
seqio.MixtureRegistry.add("metrics_blend", ["metrics_pairs", "metrics_no_metric"], default_rate=1.0)
"""
ROWS = '{"inputs": "a = ", "targets": "1"}\n{"inputs": "b = ", "targets": "22"}\n'


@pytest.fixture(scope="module")
def module(tree, tokenizer_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "rows.jsonl").write_text(ROWS)
    paths = {"rows": str(folder / "rows.jsonl"), "tree": str(tree)}
    (folder / "metrics_module.py").write_text(MODULE.format(tokenizer=str(tokenizer_file), **paths))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield "metrics_module"


@pytest.fixture
def model(tokenizer):
    """Scores a row by −1 for each weight; continues every prompt by "1" and an end of text."""

    def predict(batch, count):
        tokens = batch.tokens.copy()
        for row, last in zip(*np.nonzero(batch.loss_weights), strict=True):
            after = [*tokenizer.encode("1"), tokenizer.eos_id]
            tokens[row, last + 1 : last + 1 + min(count, len(after))] = after[:count]
        return tokens

    def score(batch):
        return -batch.loss_weights.sum(axis=1)

    return {"batch_size": 3, "sequence_length": 64, "score": score, "predict": predict}


def test_metrics_of_a_mixture(module, model, tokenizer):
    metrics = TaskMetrics(mixture="metrics_blend", modules=module, examples=5)
    assert metrics.tokenizer_hash == tokenizer.hash
    values = metrics.evaluate(**model)
    assert values["validation/metrics_pairs/exact_match"] == 0.5
    assert values["validation/metrics_pairs/edit_similarity"] == 0.5
    lengths = [len(tokenizer.encode(text)) + 1 for text in ("1", "22")]
    assert values["validation/metrics_pairs/log_likelihood"] == -np.mean(lengths)
    assert len(values) == 3
    assert metrics.evaluate(**model) == values
    tree = TaskMetrics(mixture="metrics_tree", modules=module).evaluate(**model)
    assert list(tree) == ["validation/metrics_tree/log_likelihood"]
    assert tree["validation/metrics_tree/log_likelihood"] < -10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixture": "metrics_bland"}, "no registered Task or Mixture .near: metrics_blend"),
        ({"mixture": "metrics_train_only"}, "no Task of 'metrics_train_only' has metric_fns"),
        ({"mixture": "metrics_no_metric"}, "has metric_fns and the split validation"),
        ({"mixture": "metrics_no_inputs"}, "no inputs to predict from"),
        ({"mixture": "metrics_blend", "examples": 0}, "expected at least 1"),
        ({}, r"TaskMetrics\.mixture is unset"),
        ({"mixture": "x", "modules": "no_such_module"}, "is it on PYTHONPATH"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_training(module, settings, message):
    with pytest.raises(InputError, match=message):
        TaskMetrics(**{"modules": module, **settings})


def test_a_metric_that_fails_is_a_line(module, model):
    metrics = TaskMetrics(mixture="metrics_fail", modules=module)
    with pytest.raises(InputError, match="'metrics_fail', metrics: ") as error:
        metrics.evaluate(**model)
    assert "a division" in str(error.value)
    assert "\n" not in str(error.value)
