"""Rows of kept samples: loss on programs alone, each sample once an epoch, pure batches."""

import itertools

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.records import Completion
from codex_jax.rl.kept_rows import KeptRows, make_example
from codex_jax.sample.sampling.text_ends import TextEnds
from codex_jax.tokenizer import Tokenizer
from tests.rl.conftest import make_problems

PROBLEMS = make_problems(8, prompt="def f(x):\n")


@pytest.fixture(scope="module")
def bpe():
    return Tokenizer.train(["def f(x):\n    return x + 1\n"] * 9, vocab_size=360)


def make_sample(n, **extra):
    text = f"    return x + {n}\n"
    return Completion(task_id=f"t/{n}", completion=text, sample_index=n, extra=extra)


def make_rows(bpe, samples, length=40, batch_size=2, seed=0):
    ends = TextEnds((bpe.eos_id,), (bpe.eos_id,))
    sizes = {"batch_size": batch_size, "sequence_length": length, "seed": seed}
    return KeptRows(PROBLEMS, samples, bpe, ends, **sizes)


def test_the_loss_is_on_the_program_and_the_end(bpe):
    sample = make_sample(1, weight=0.5)
    example = make_example("def f(x):\n", sample, bpe, TextEnds((7,), (bpe.eos_id,)))
    assert example.tokens[0] == 7
    np.testing.assert_array_equal(example.targets[:-1], example.tokens[1:])
    learned = example.targets[example.weights > 0].tolist()
    assert learned[-1] == bpe.eos_id
    text = bpe.decode_bytes(learned[:-1]).decode()
    assert text.lstrip("\n") == sample.completion  # a newline may be one token with what follows
    assert set(example.weights) == {0.0, 0.5}


def test_an_epoch_has_every_sample_once(bpe):
    samples = [make_sample(n) for n in range(8)]
    rows = make_rows(bpe, samples, batch_size=1)
    batches = list(itertools.islice(rows.batches(0), rows.rows))
    tokens = np.concatenate([b.targets[b.loss_weights > 0] for b in batches])
    assert (tokens == bpe.eos_id).sum() == 8
    text = bpe.decode_bytes([int(t) for t in tokens if t != bpe.eos_id]).decode()
    assert sorted(text.split()) == sorted("".join(s.completion for s in samples).split())
    assert len(batches) == 3  # three samples fill a row
    for batch in batches:
        starts = batch.positions[batch.segment_ids > 0] == 0
        assert starts.sum() == batch.segment_ids.max()


def test_batch_n_is_a_function_of_n(bpe):
    samples = [make_sample(n) for n in range(8)]
    rows, again = make_rows(bpe, samples), make_rows(bpe, samples)
    straight = list(itertools.islice(rows.batches(0), 7))
    later = next(again.batches(5))
    for left, right in zip(straight[5], later, strict=True):
        np.testing.assert_array_equal(left, right)
    second = next(rows.batches(5, np.array([1])))
    np.testing.assert_array_equal(second.tokens[0], later.tokens[1])
    assert rows.fingerprint == again.fingerprint != make_rows(bpe, samples[1:]).fingerprint


def test_too_few_samples_are_refused_with_what_to_set(bpe):
    for samples in ([], [make_sample(1)]):
        with pytest.raises(InputError, match=r"samples were kept, which fill .* set batch_size"):
            make_rows(bpe, samples, length=400)


def test_samples_that_fit_no_row_are_counted(bpe):
    samples = [make_sample(n) for n in range(8)]
    long = Completion(task_id="t/1", completion="    return x\n" * 30, sample_index=9)
    assert make_rows(bpe, samples).too_long == 0
    assert make_rows(bpe, [*samples, long]).too_long == 1
