"""Directory trees are ordinary seqio Tasks and Mixtures."""

import pytest

seqio = pytest.importorskip("seqio")

from codex_jax.data import tasks  # noqa: E402
from codex_jax.data.sources import Tree  # noqa: E402
from codex_jax.data.vocabulary import BytePairVocabulary  # noqa: E402


def test_the_vocabulary_is_the_tokenizer(tokenizer):
    vocabulary = BytePairVocabulary(tokenizer)
    text = "def f(x):\n    return 'naïve!'\n"
    ids = vocabulary.encode(text)
    assert ids == tokenizer.encode(text) == vocabulary.encode_tf(text).numpy().tolist()
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode_tf(vocabulary.encode_tf(text)).numpy().decode() == text
    assert vocabulary.vocab_size == tokenizer.vocab_size
    assert (vocabulary.eos_id, vocabulary.bos_id) == (tokenizer.eos_id,) * 2
    assert vocabulary.unk_id is None
    assert vocabulary == BytePairVocabulary(tokenizer)


def test_a_tree_is_a_registered_task(tree, tokenizer):
    tasks.add_tree_task("test_tree", Tree(path=str(tree)), tokenizer)
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


def test_trees_are_a_mixture_with_rates(tree, tokenizer):
    trees = {"a": Tree(path=str(tree)), "b": Tree(path=str(tree), weight=3.0)}
    mixture = tasks.add_tree_mixture("test_mixture", trees, tokenizer)
    assert [mixture.get_rate(task) for task in mixture.tasks] == [1.0, 3.0]
    dataset = mixture.get_dataset({"targets": 32}, split="train", shuffle=False, num_epochs=None)
    assert next(dataset.as_numpy_iterator())["targets"].shape == (32,)
