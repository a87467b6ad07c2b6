"""Different requests in one engine: each gets the samples that it would get alone."""

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.sample.engine.requests import PromptLogprobs, Request
from codex_jax.sample.sampling.params import SamplingParams
from tests.sample import models

WARM = SamplingParams(temperature=1.0, top_p=0.95)
FIELDS = [
    {"sampling_params": WARM, "seed": 7},
    {"sampling_params": SamplingParams(temperature=0.0), "max_new_tokens": 5},
    {
        "sampling_params": SamplingParams(temperature=1.5, top_k=3),
        "seed": 1 << 40,
        "stops": ("\x05", "\x07\x07"),
    },
    {
        "sampling_params": SamplingParams(
            temperature=0.9, frequency_penalty=2.0, presence_penalty=1.0
        )
    },
    {
        "sampling_params": SamplingParams(temperature=1.0, logit_bias={4: 100.0}),
        "max_new_tokens": 9,
    },
    {"sampling_params": SamplingParams(temperature=1.0, min_p=0.5), "want_top_logprobs": True},
]


def various_requests():
    return [Request(str(n), [n + 1, 9], (0, 3), **fields) for n, fields in enumerate(FIELDS)]


@pytest.fixture(scope="module")
def engine():
    return models.start_engine(models.CONFIG, models.random_params())


@pytest.fixture(scope="module")
def alone(engine):
    outputs = {}
    for request in various_requests():
        outputs |= models.collect(engine.run([request]))
    return outputs


def drain(engine, steps=3):
    while not engine.idle:
        yield from engine.step(steps=steps)


def test_all_at_once_equal_each_alone(engine, alone):
    """Requests without penalties too, in parallel with others that have them."""
    models.assert_same(models.collect(engine.run(various_requests())), alone)


def test_pieces_add_up_to_the_sample(engine, alone):
    for request in various_requests():
        engine.submit(request._replace(stream=True))
    pieces = {}
    for piece in drain(engine):
        pieces.setdefault((piece.request_id, piece.sample_index), []).append(piece)
    assert max(map(len, pieces.values())) > 3
    for key, parts in pieces.items():
        assert all(part.finish_reason == "" for part in parts[:-1])
        assert parts[-1].finish_reason == alone[key].finish_reason
        for field in ("tokens", "logprobs"):
            joined = np.concatenate([getattr(part, field) for part in parts])
            np.testing.assert_array_equal(joined, getattr(alone[key], field))


def test_a_request_may_come_while_others_run(engine, alone):
    first, *others = various_requests()
    engine.submit(first)
    outputs = engine.step(steps=4)
    for request in others:
        engine.submit(request)
    models.assert_same(models.collect([*outputs, *drain(engine)]), alone)


def test_a_cancelled_request_returns_nothing_more_and_frees_its_rows(engine, alone):
    for name in ("gone", "late"):
        engine.submit(Request(name, [1, 2], range(40), sampling_params=WARM, stream=True))
    assert {output.request_id for output in engine.step(steps=2)} == {"gone"}
    assert 10 < engine.running <= 16
    assert engine.waiting == 64
    engine.cancel("gone")
    engine.cancel("late", 5)
    for request in various_requests():
        engine.submit(request)
    outputs = list(drain(engine))
    late = {
        output.sample_index
        for output in outputs
        if output.request_id == "late" and output.finish_reason
    }
    assert late == set(range(40)) - {5}
    assert "gone" not in {output.request_id for output in outputs}
    models.assert_same(
        models.collect(output for output in outputs if output.request_id != "late"), alone
    )


def test_stops_that_exceed_the_table_are_checked_on_the_host(alone):
    small = models.start_engine(models.CONFIG, models.random_params(), stop_states=2)
    models.assert_same(models.collect(small.run(various_requests())), alone)


def test_many_sets_of_stops_share_the_table():
    """More states than the table has, a few at a time; each sample ends at its own stop."""
    config, params = models.counting_model()
    engine = models.start_engine(config, params, stop_states=8)
    requests = [
        Request(
            str(n),
            [1],
            sampling_params=SamplingParams(temperature=0.0),
            stops=(chr(n) + chr(n + 1),),
        )
        for n in range(2, 20)
    ]
    outputs = models.collect(engine.run(requests))
    for n in range(2, 20):
        np.testing.assert_array_equal(outputs[str(n), 0].tokens, np.arange(2, n + 2))


def test_penalties_and_bias_move_the_logits(alone):
    assert (alone["4", 0].tokens == 4).all()  # biased by 100
    tokens = alone["3", 0].tokens
    assert len(set(tokens)) > 0.8 * len(tokens)
    greedy = [
        Request(
            "",
            [3],
            sampling_params=SamplingParams(temperature=0.0, frequency_penalty=2.0),
            max_new_tokens=24,
        )
    ]
    engine = models.start_engine(models.CONFIG, models.random_params())
    tokens = next(engine.run(greedy)).tokens
    for n, token in enumerate(tokens):
        logits = models.teacher_forced(models.CONFIG, models.random_params(), [3, *tokens[:n]])[-1]
        counts = np.bincount(tokens[:n], minlength=models.V)
        assert token == (logits - 2.0 * counts).argmax()


def test_likely_tokens_are_the_models(alone):
    sample = alone["5", 3]
    text = [6, 9, *sample.tokens[:-1]]
    logprobs = models.teacher_forced(models.CONFIG, models.random_params(), text)[1:]
    assert sample.top.tokens.shape == (len(sample.tokens), 5)
    np.testing.assert_array_equal(sample.top.tokens, np.argsort(-logprobs, axis=1)[:, :5])
    outputs = np.take_along_axis(logprobs, sample.top.tokens, axis=1)
    np.testing.assert_allclose(sample.top.logprobs, outputs, rtol=1e-4, atol=1e-4)


def test_an_echoed_prompt_is_scored(engine):
    prompt = models.PROMPTS[2]
    engine.submit(Request("both", prompt, sampling_params=WARM, echo=True))
    engine.submit(Request("only", prompt[:7], (), echo=True))
    outputs = list(drain(engine))
    scored = {output.request_id: output for output in outputs if isinstance(output, PromptLogprobs)}
    assert len(outputs) == 3
    assert scored.keys() == {"both", "only"}
    for name, tokens in (("both", prompt), ("only", prompt[:7])):
        logprobs = models.teacher_forced(models.CONFIG, models.random_params(), tokens)[:-1]
        each = logprobs[np.arange(len(tokens) - 1), tokens[1:]]
        np.testing.assert_allclose(scored[name].logprobs, each, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(
            scored[name].top.tokens, np.argsort(-logprobs, axis=1, kind="stable")[:, :5]
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens": []}, "prompt of 0 tokens; expected 1 to 200"),
        ({"tokens": [1] * 257}, "prompt of 257 tokens"),
        ({"tokens": [1, 64]}, "prompt: token 64; expected 0 to 63"),
        ({"tokens": [-1, 3]}, "prompt: token -1; expected 0 to 63"),
        ({"max_new_tokens": 25}, "25 new tokens; expected 1 to 24"),
        ({"max_new_tokens": 0}, "0 new tokens"),
    ],
)
def test_what_does_not_fit_is_refused(engine, wrong, message):
    with pytest.raises(InputError, match=message):
        engine.submit(Request("r", [1])._replace(**wrong))
    assert engine.idle
