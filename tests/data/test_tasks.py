"""Directory trees are ordinary seqio Tasks and Mixtures."""

import collections

import pytest

seqio = pytest.importorskip("seqio")

from codex_jax.data.build import build  # noqa: E402
from codex_jax.data.corpus import SourceTree  # noqa: E402
from codex_jax.data.seqio_tasks import tasks  # noqa: E402

from .conftest import read_rows  # noqa: E402


def test_a_tree_is_a_registered_task(tree, tokenizer):
    tasks.add_tree_task("test_tree", SourceTree(path=str(tree)), tokenizer)
    examples = list(
        seqio.get_mixture_or_task("test_tree")
        .get_dataset(split="train", sequence_length=None, shuffle=False)
        .as_numpy_iterator()
    )
    assert len(examples) == 61
    for example in examples:
        assert example["language"] == b"Python"
        text = (tree / example["key"].decode().removesuffix("#0")).read_text()
        assert tokenizer.decode(example["targets"]) == text


def test_a_corpus_is_a_mixture_with_rates(tree, tokenizer):
    trees = {
        "code": SourceTree(path=str(tree), weight=2.0),
        "pairs": SourceTree(path=str(tree), render_as="prose to code"),
    }
    mixture = tasks.add_corpus("test_mixture", trees, tokenizer)
    rates = {task.name: mixture.get_rate(task) for task in mixture.tasks}
    assert set(rates) == {"test_mixture_code", "test_mixture_pairs"}
    assert rates["test_mixture_code"] == 2 * rates["test_mixture_pairs"] > 0
    task = seqio.get_mixture_or_task("test_mixture_code")
    dataset = task.get_dataset({"targets": 32}, split="train", shuffle=False, num_epochs=None)
    assert next(dataset.as_numpy_iterator())["targets"].shape == (32,)


def test_tasks_have_metrics(tree, tokenizer):
    task = tasks.add_tree_task("test_metrics", SourceTree(path=str(tree)), tokenizer)
    scores = {}
    for metric in (tasks.exact_match, tasks.edit_similarity):
        scores |= metric(["a\nb\n", "x"], ["a\nc\n", "x\n"])
    (metric,) = task.metric_fns
    assert metric(["a", "b"], [-1.0, -3.0]) == {"log_likelihood": -2.0}
    assert scores == {"exact_match": 0.5, "edit_similarity": 0.75}


def test_tasks_give_the_tokens_that_the_build_packs(tree, tokenizer_file, tokenizer, tmp_path):
    named = SourceTree(path=str(tree), weight=1.5, infilling=0.5)
    tasks.add_tree_task("test_same", named, tokenizer, seed=3, sequence_length=64, source="same")
    dataset = seqio.get_mixture_or_task("test_same").get_dataset(
        split="train", sequence_length=None, shuffle=False
    )
    expected = collections.Counter(
        token for example in dataset.as_numpy_iterator() for token in example["targets"].tolist()
    )
    settings = {"tokenizer": tokenizer_file, "output": tmp_path / "c", "sequence_length": 64}
    build(corpus={"same": named}, indent_split_rate=0.0, seed=3, **settings)
    rows = read_rows(tmp_path / "c")
    packed = collections.Counter(rows["targets"][rows["segment_ids"] > 0].tolist())
    del packed[tokenizer.eos_id]
    assert packed == expected
    assert packed[0]
