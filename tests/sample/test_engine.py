import functools

import jax
import numpy as np
import pytest

from codex_jax import sharding
from codex_jax.sample.engine.capacity import bucket
from codex_jax.sample.engine.requests import prompt_hash
from codex_jax.sample.sampling.params import Policy
from tests.sample import models

GREEDY = Policy(temperature=0.0)
WARM = Policy(temperature=1.0, top_p=0.95)


@pytest.fixture(scope="module")
def engine():
    return models.start(models.CONFIG, models.random_params())


@pytest.fixture(scope="module")
def undisturbed(engine):
    return models.collect(engine.run(models.requests(policy=WARM, seed=7)))


def test_next_token_is_this_token_plus_one():
    config, params = models.counting_model()
    engine = models.start(config, params, new=30, samples=2)
    found = models.collect(engine.run(models.requests([[5], [9, 50], [1, 2, 3]], 2, policy=WARM)))
    np.testing.assert_array_equal(found["0", 0].tokens, np.arange(6, 36))
    np.testing.assert_array_equal(found["1", 1].tokens, np.arange(51, 64))  # ends at end of text
    assert found["1", 1].reason == "stop" and found["0", 0].reason == "length"
    assert len(found) == 6


def test_a_stop_across_tokens_ends_a_sample():
    config, params = models.counting_model()
    engine = models.start(config, params)
    requests = models.requests([[5], [15], [30]], 1, policy=GREEDY, stops=["\x0a\x0b\x0c", "\x14"])
    found = models.collect(engine.run(requests))
    assert found["0", 0].tokens[-1] == 12
    assert found["1", 0].tokens[-1] == 20
    assert found["2", 0].tokens[-1] == 54  # by length


@pytest.mark.parametrize("config", [models.CONFIG, models.ROTARY], ids=["gpt", "llama"])
def test_cached_equals_uncached(config):
    """Each sampled token's log-probability is that of one pass over the whole text."""
    params = models.random_params(config)
    engine = models.start(config, params)
    for sample in engine.run(models.requests(n=2, policy=WARM, seed=1)):
        prompt = models.PROMPTS[int(sample.name)]
        all_logprobs = models.teacher_forced(config, params, [*prompt, *sample.tokens[:-1]])
        expected = all_logprobs[len(prompt) - 1 :][np.arange(len(sample.tokens)), sample.tokens]
        np.testing.assert_allclose(sample.logprobs, expected, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_weights_are_held_as_they_are_read():
    """Half the bytes a step; log-probabilities stay near those of f32."""
    params = models.random_params()
    engine = models.start(models.CONFIG, params, dtype="bfloat16")
    held = engine.params["blocks"][0]
    assert held["mlp"]["up"].dtype == engine.params["embedding"].dtype == "bfloat16"
    assert held["mlp_norm"]["scale"].dtype == "float32"
    for sample in engine.run(models.requests(models.PROMPTS[:2], n=1, policy=WARM)):
        prompt = models.PROMPTS[int(sample.name)]
        exact = models.teacher_forced(models.CONFIG, params, [*prompt, *sample.tokens[:-1]])
        exact = exact[len(prompt) - 1 :][np.arange(len(sample.tokens)), sample.tokens]
        np.testing.assert_allclose(sample.logprobs, exact, atol=0.1)


def test_greedy_takes_the_likeliest_of_an_uncached_pass(engine):
    for sample in engine.run(models.requests(n=1, policy=GREEDY)):
        prompt = models.PROMPTS[int(sample.name)]
        text = [*prompt, *sample.tokens[:-1]]
        logprobs = models.teacher_forced(models.CONFIG, models.random_params(), text)
        np.testing.assert_array_equal(sample.tokens, logprobs[len(prompt) - 1 :].argmax(axis=-1))


def test_top_1_is_greedy(engine):
    a = models.collect(engine.run(models.requests(policy=Policy(top_k=1), seed=3)))
    b = models.collect(engine.run(models.requests(policy=GREEDY)))
    models.assert_same(a, b)


def test_samples_differ_from_each_other_and_by_seed(engine, undisturbed):
    other = models.collect(engine.run(models.requests(policy=WARM, seed=8)))
    every = [tuple(s.tokens) for s in (*undisturbed.values(), *other.values())]
    long = [text for text in every if len(text) > 3]
    assert len(set(long)) == len(long) > 0.7 * len(every)


def test_order_neighbours_and_rows_change_no_bit(engine, undisturbed):
    rng = np.random.default_rng(0)
    for _ in range(3):
        some = [
            request._replace(samples=rng.permutation(4)[: rng.integers(1, 5)].tolist())
            for request in models.requests(policy=WARM, seed=7)
        ]
        rng.shuffle(some)
        found = models.collect(engine.run(some))
        models.assert_same(found, {key: undisturbed[key] for key in found})


def test_room_for_longer_prompts_changes_no_bit(undisturbed):
    roomy = models.start(models.CONFIG, models.random_params(), longest=400)
    models.assert_same(models.collect(roomy.run(models.requests(policy=WARM, seed=7))), undisturbed)


def test_more_prompts_than_places_all_get_done(engine):
    """Many prompts of one sample: places run out before rows do."""
    prompts = [[n % 60, n // 60] for n in range(100)]
    found = models.collect(engine.run(models.requests(prompts, n=1, policy=WARM)))
    assert len(found) == 100


def test_rows_are_refilled_within_the_loop():
    config, params = models.counting_model()
    engine = models.start(config, params, samples=20, new=60, rows=16)
    prompts = [[5 + 10 * (n % 5)] for n in range(20)]  # 13 to 53 tokens long
    assert len(list(engine.run(models.requests(prompts, n=20, policy=GREEDY)))) == 400
    assert engine.occupancy > 0.9


@pytest.mark.parametrize("mesh", [{}, {"tensor": 2}], ids=["fsdp8", "fsdp4-tensor2"])
def test_greedy_on_eight_devices_equals_one(engine, mesh):
    assert len(jax.devices()) >= 8
    eight = models.start(
        models.CONFIG,
        models.random_params(),
        devices=8,
        mesh=sharding.MeshShape(**mesh),
    )
    a = models.collect(eight.run(models.requests(policy=GREEDY)))
    b = models.collect(engine.run(models.requests(policy=GREEDY)))
    assert {k: v.tokens.tolist() for k, v in a.items()} == {
        k: v.tokens.tolist() for k, v in b.items()
    }


def test_nothing_is_compiled_after_warm_up():
    """300 prompt lengths, another policy and seed, after one prompt of each bucket."""
    engine = models.start(models.CONFIG, models.random_params(), longest=300, samples=1)
    ask = functools.partial(models.requests, n=1)
    list(engine.run(ask([[1] * n for n in (1, 65, 129, 257)], policy=GREEDY, stops=["\n"])))
    compiled = []
    listen = functools.partial(_note_compilations, compiled)
    jax.monitoring.register_event_duration_secs_listener(listen)
    prompts = [[n % 60] * n for n in range(1, 301)]
    assert len(list(engine.run(ask(prompts, policy=Policy(temperature=0.3), seed=2)))) == 300
    list(engine.run(ask(prompts[:9], policy=WARM, stops=["abc", "de"])))
    jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []


def _note_compilations(compiled, event, seconds, **kwargs):
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append((seconds, kwargs))


def test_buckets_and_hashes():
    assert [bucket(n) for n in (1, 64, 65, 128, 129)] == [64, 64, 128, 128, 256]
    assert prompt_hash([1, 2]) == prompt_hash(np.array([1, 2])) != prompt_hash([2, 1])


def test_first_tokens_follow_the_exact_softmax(engine):
    """χ² of 2000 samples of one prompt against a pass without cache."""
    n = 2000
    policy = Policy(temperature=1, top_p=1)
    request = models.requests([[3, 5, 7]], n, policy=policy, seed=5)
    drawn = [s.tokens[0] for s in engine.run(request)]
    p = np.exp(models.teacher_forced(models.CONFIG, models.random_params(), [3, 5, 7])[-1])
    counts = np.bincount(drawn, minlength=models.V)
    often = p * n >= 5
    observed = np.append(counts[often], counts[~often].sum())
    expected = np.append(p[often], p[~often].sum()) * n
    chi2 = ((observed - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    assert chi2 < often.sum() + 4 * (2 * often.sum()) ** 0.5
