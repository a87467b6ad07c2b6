"""Prompts: their order is a function of (seed, n), their tails are left to the model."""

import collections

import pytest

from codex_jax import InputError
from codex_jax.rl.prompts import BatchSizes, Prompts
from codex_jax.tokenizer import Tokenizer
from tests.rl.conftest import make_problem, make_problems


@pytest.fixture(scope="module")
def bpe():
    text = 'def f(x):\n    """Adds."""\n    return x + 1\n'
    return Tokenizer.train([text] * 9, vocab_size=360)


def make_prompts(bpe, problems=None, *, size=3, heals=False, seed=0):
    return Prompts(
        make_problems(7) if problems is None else problems,
        bpe,
        (bpe.eos_id,),
        BatchSizes(size, 4, 10),
        shadow_share=0.25,
        heals=heals,
        seed=seed,
    )


def test_an_epoch_repeats_no_problem_and_the_next_has_another_order(bpe):
    prompts = make_prompts(bpe)
    batches = [[p.task_id for p in prompts.order(n)[:3]] for n in range(20)]
    epochs = list(zip(batches[::2], batches[1::2], strict=True))
    for first, second in epochs:
        assert len({*first, *second}) == 6
    assert len({(*first, *second) for first, second in epochs}) > 5
    counts = collections.Counter(task_id for batch in batches for task_id in batch)
    assert set(counts) == set(prompts.problems)


def test_a_batch_is_a_function_of_seed_and_number(bpe):
    again, other = make_prompts(bpe), make_prompts(bpe, seed=1)
    prompts = make_prompts(bpe)
    orders = [prompts.order(n) for n in (5, 0, 5)]
    assert orders == [again.order(n) for n in (5, 0, 5)]
    assert orders[0] != other.order(5)
    assert prompts.sampling_seed(5) == again.sampling_seed(5) != prompts.sampling_seed(4)
    assert prompts.sampling_seed(5) != other.sampling_seed(5)


def test_refills_are_the_other_prompts(bpe):
    prompts = make_prompts(bpe)
    for batch in range(9):
        order = [prompt.task_id for prompt in prompts.order(batch)]
        assert sorted(order) == sorted(prompts.problems)


def test_sizes_hold_every_prompt_with_its_longest_sample(bpe):
    prompts = make_prompts(bpe)
    assert prompts.batch_size == 12
    assert prompts.sequence_length % 16 == 0
    assert 0 <= prompts.sequence_length - (prompts.longest + 9) < 16
    lengths = [len(prompt.tokens) for prompt in prompts.by_length]
    assert lengths == sorted(lengths)
    assert all(prompt.tokens[0] == bpe.eos_id for prompt in prompts.by_length)


def test_what_a_longer_token_may_join_is_left_to_the_model(bpe):
    problem = make_problem(0, prompt='def f(x):\n    """Adds."""\n')
    (plain,) = make_prompts(bpe, {"t/0": problem}, size=1).order(0)
    (healed,) = make_prompts(bpe, {"t/0": problem}, size=1, heals=True).order(0)
    assert plain.text == problem.prompt
    assert len(healed.tokens) < len(plain.tokens)
    assert problem.prompt.startswith(healed.text)
    assert bpe.decode_bytes(healed.tokens[1:]).decode() == healed.text


def test_the_fingerprint_is_of_problems_and_split(bpe):
    prompts = make_prompts(bpe)
    assert prompts.fingerprint == make_prompts(bpe, seed=3).fingerprint
    changed = make_problems(7) | {"t/0": make_problem(0, prompt="def f(x): return x #")}
    assert prompts.fingerprint != make_prompts(bpe, changed).fingerprint


def test_too_few_problems_are_refused(bpe):
    with pytest.raises(InputError, match="2 problems; set prompts_per_batch to that or less"):
        make_prompts(bpe, make_problems(2))


def test_a_prompt_that_is_no_text_is_named(bpe):
    problem = make_problem(0, prompt="def f(x):\ud800")
    with pytest.raises(InputError, match="t/0: text has a lone surrogate"):
        make_prompts(bpe, {"t/0": problem}, size=1)
