import dataclasses
import functools

import jax
import numpy as np
import pytest

from codex_jax import sharding
from codex_jax.sample.engine.capacity import bucket
from codex_jax.sample.engine.requests import hash_prompt
from codex_jax.sample.sampling.params import SamplingParams
from tests.sample import models

GREEDY = SamplingParams(temperature=0.0)
WARM = SamplingParams(temperature=1.0, top_p=0.95)


@pytest.fixture(scope="module")
def engine():
    return models.start_engine(models.CONFIG, models.random_params())


@pytest.fixture(scope="module")
def undisturbed(engine):
    return models.collect(engine.run(models.requests(sampling_params=WARM, seed=7)))


def test_next_token_is_this_token_plus_one():
    config, params = models.counting_model()
    engine = models.start_engine(config, params, max_new_tokens=30, samples_per_prompt=2)
    samples = models.collect(
        engine.run(models.requests([[5], [9, 50], [1, 2, 3]], 2, sampling_params=WARM))
    )
    np.testing.assert_array_equal(samples["0", 0].tokens, np.arange(6, 36))
    np.testing.assert_array_equal(samples["1", 1].tokens, np.arange(51, 64))  # ends at end of text
    assert samples["1", 1].finish_reason == "stop"
    assert samples["0", 0].finish_reason == "length"
    assert len(samples) == 6


def test_a_stop_across_tokens_ends_a_sample():
    config, params = models.counting_model()
    engine = models.start_engine(config, params)
    requests = models.requests(
        [[5], [15], [30]], 1, sampling_params=GREEDY, stops=["\x0a\x0b\x0c", "\x14"]
    )
    samples = models.collect(engine.run(requests))
    assert samples["0", 0].tokens[-1] == 12
    assert samples["1", 0].tokens[-1] == 20
    assert samples["2", 0].tokens[-1] == 54  # by length


@pytest.mark.parametrize("config", [models.CONFIG, models.ROTARY], ids=["gpt", "llama"])
def test_cached_equals_uncached(config):
    """Each sampled token's log-probability is that of one pass over the whole text."""
    params = models.random_params(config)
    engine = models.start_engine(config, params)
    for sample in engine.run(models.requests(n=2, sampling_params=WARM, seed=1)):
        prompt = models.PROMPTS[int(sample.request_id)]
        all_logprobs = models.teacher_forced(config, params, [*prompt, *sample.tokens[:-1]])
        expected = all_logprobs[len(prompt) - 1 :][np.arange(len(sample.tokens)), sample.tokens]
        np.testing.assert_allclose(sample.logprobs, expected, rtol=1e-4, atol=1e-4)


def test_long_prompts_are_read_whole():
    """Their caches end within the length to which they are padded."""
    config = dataclasses.replace(models.ROTARY, max_length=2048)
    params = models.random_params(config)
    longest = 1030
    engine = models.start_engine(config, params, rows=4, max_prompt_tokens=longest)
    assert engine._executor.state.prompts.cache[0].k[-1].shape[-1] == 1536 - 1024
    prompts = [[n % 50 for n in range(length)] for length in (510, 700, 1020, longest)]
    for sample in engine.run(models.requests(prompts, n=1, sampling_params=WARM)):
        prompt = prompts[int(sample.request_id)]
        all_logprobs = models.teacher_forced(config, params, [*prompt, *sample.tokens[:-1]])
        expected = all_logprobs[len(prompt) - 1 :][np.arange(len(sample.tokens)), sample.tokens]
        np.testing.assert_allclose(sample.logprobs, expected, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_weights_are_stored_as_they_are_read():
    """Half the bytes a step; log-probabilities stay near those of f32."""
    params = models.random_params()
    engine = models.start_engine(models.CONFIG, params, dtype="bfloat16")
    block = engine.params["blocks"][0]
    assert block["mlp"]["up"].dtype == engine.params["embedding"].dtype == "bfloat16"
    assert block["mlp_norm"]["scale"].dtype == "float32"
    for sample in engine.run(models.requests(models.PROMPTS[:2], n=1, sampling_params=WARM)):
        prompt = models.PROMPTS[int(sample.request_id)]
        exact = models.teacher_forced(models.CONFIG, params, [*prompt, *sample.tokens[:-1]])
        exact = exact[len(prompt) - 1 :][np.arange(len(sample.tokens)), sample.tokens]
        np.testing.assert_allclose(sample.logprobs, exact, atol=0.1)


def test_greedy_takes_the_likeliest_of_an_uncached_pass(engine):
    for sample in engine.run(models.requests(n=1, sampling_params=GREEDY)):
        prompt = models.PROMPTS[int(sample.request_id)]
        text = [*prompt, *sample.tokens[:-1]]
        logprobs = models.teacher_forced(models.CONFIG, models.random_params(), text)
        np.testing.assert_array_equal(sample.tokens, logprobs[len(prompt) - 1 :].argmax(axis=-1))


def test_top_1_is_greedy(engine):
    a = models.collect(engine.run(models.requests(sampling_params=SamplingParams(top_k=1), seed=3)))
    b = models.collect(engine.run(models.requests(sampling_params=GREEDY)))
    models.assert_same(a, b)


def test_samples_differ_from_each_other_and_by_seed(engine, undisturbed):
    other = models.collect(engine.run(models.requests(sampling_params=WARM, seed=8)))
    every = [tuple(s.tokens) for s in (*undisturbed.values(), *other.values())]
    long = [text for text in every if len(text) > 3]
    assert len(set(long)) == len(long) > 0.7 * len(every)


def test_order_neighbours_and_rows_change_no_bit(engine, undisturbed):
    rng = np.random.default_rng(0)
    for _ in range(3):
        some = [
            request._replace(samples=rng.permutation(4)[: rng.integers(1, 5)].tolist())
            for request in models.requests(sampling_params=WARM, seed=7)
        ]
        rng.shuffle(some)
        samples = models.collect(engine.run(some))
        models.assert_same(samples, {key: undisturbed[key] for key in samples})


def test_capacity_for_longer_prompts_changes_no_bit(undisturbed):
    larger = models.start_engine(models.CONFIG, models.random_params(), max_prompt_tokens=400)
    models.assert_same(
        models.collect(larger.run(models.requests(sampling_params=WARM, seed=7))), undisturbed
    )


def test_more_prompts_than_slots_all_finish(engine):
    """Many prompts of one sample: prompt slots run out before rows do."""
    prompts = [[n % 60, n // 60] for n in range(100)]
    samples = models.collect(engine.run(models.requests(prompts, n=1, sampling_params=WARM)))
    assert len(samples) == 100


def test_rows_are_refilled_within_the_loop():
    config, params = models.counting_model()
    engine = models.start_engine(config, params, samples_per_prompt=20, max_new_tokens=60, rows=16)
    prompts = [[5 + 10 * (n % 5)] for n in range(20)]  # 13 to 53 tokens long
    assert len(list(engine.run(models.requests(prompts, n=20, sampling_params=GREEDY)))) == 400
    assert engine.occupancy > 0.9


@pytest.mark.parametrize("mesh", [{}, {"tensor": 2}], ids=["fsdp8", "fsdp4-tensor2"])
def test_greedy_on_eight_devices_equals_one(engine, mesh):
    assert len(jax.devices()) >= 8
    eight = models.start_engine(
        models.CONFIG,
        models.random_params(),
        devices=8,
        mesh=sharding.MeshShape(**mesh),
    )
    a = models.collect(eight.run(models.requests(sampling_params=GREEDY)))
    b = models.collect(engine.run(models.requests(sampling_params=GREEDY)))
    assert {k: v.tokens.tolist() for k, v in a.items()} == {
        k: v.tokens.tolist() for k, v in b.items()
    }


def test_nothing_is_compiled_after_warm_up():
    """300 prompt lengths, another policy and seed, after one prompt of each bucket."""
    engine = models.start_engine(
        models.CONFIG, models.random_params(), max_prompt_tokens=300, samples_per_prompt=1
    )
    requests = functools.partial(models.requests, n=1)
    list(
        engine.run(
            requests([[1] * n for n in (1, 65, 129, 257)], sampling_params=GREEDY, stops=["\n"])
        )
    )
    compiled = []
    listen = functools.partial(_record_compilation, compiled)
    jax.monitoring.register_event_duration_secs_listener(listen)
    prompts = [[n % 60] * n for n in range(1, 301)]
    assert (
        len(
            list(
                engine.run(
                    requests(prompts, sampling_params=SamplingParams(temperature=0.3), seed=2)
                )
            )
        )
        == 300
    )
    list(engine.run(requests(prompts[:9], sampling_params=WARM, stops=["abc", "de"])))
    jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []


def _record_compilation(compiled, event, seconds, **kwargs):
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append((seconds, kwargs))


def test_buckets_and_hashes():
    assert [bucket(n) for n in (1, 64, 65, 128, 129)] == [64, 64, 128, 128, 256]
    assert hash_prompt([1, 2]) == hash_prompt(np.array([1, 2])) != hash_prompt([2, 1])


def test_first_tokens_follow_the_exact_softmax(engine):
    """χ² of 2000 samples of one prompt against a pass without cache."""
    n = 2000
    params = SamplingParams(temperature=1.0, top_p=1.0)
    request = models.requests([[3, 5, 7]], n, sampling_params=params, seed=5)
    drawn = [s.tokens[0] for s in engine.run(request)]
    p = np.exp(models.teacher_forced(models.CONFIG, models.random_params(), [3, 5, 7])[-1])
    counts = np.bincount(drawn, minlength=models.V)
    often = p * n >= 5
    observed = np.append(counts[often], counts[~often].sum())
    expected = np.append(p[often], p[~often].sum()) * n
    chi2 = ((observed - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    assert chi2 < often.sum() + 4 * (2 * often.sum()) ** 0.5


@pytest.mark.parametrize("window", [7, 64])
def test_a_sliding_window_hides_what_is_before_it_in_prompt_and_sample(window):
    config = dataclasses.replace(models.ROTARY, window=window)
    params = models.random_params(config)
    engine = models.start_engine(config, params)
    full = dataclasses.replace(config, window=0)
    differs = 0
    for sample in engine.run(models.requests(n=2, sampling_params=WARM, seed=1)):
        prompt = models.PROMPTS[int(sample.request_id)]
        text = [*prompt, *sample.tokens[:-1]]
        at = np.arange(len(sample.tokens)), sample.tokens
        expected, other = (
            models.teacher_forced(c, params, text)[len(prompt) - 1 :][at] for c in (config, full)
        )
        np.testing.assert_allclose(sample.logprobs, expected, rtol=1e-4, atol=1e-4)
        differs += len(text) > window and not np.allclose(expected, other, atol=1e-3)
    assert differs
