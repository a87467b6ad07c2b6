"""Requests of all kinds in one engine: each gets what it would get alone."""

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.sample.engine.requests import Request, Scored
from codex_jax.sample.sampling.params import Policy
from tests.sample import models

WARM = Policy(temperature=1.0, top_p=0.95)
KINDS = [
    {"policy": WARM, "seed": 7},
    {"policy": Policy(temperature=0.0), "new": 5},
    {"policy": Policy(temperature=1.5, top_k=3), "seed": 1 << 40, "stops": ("\x05", "\x07\x07")},
    {"policy": Policy(temperature=0.9, frequency_penalty=2.0, presence_penalty=1.0)},
    {"policy": Policy(temperature=1.0, logit_bias={4: 100.0}), "new": 9},
    {"policy": Policy(temperature=1.0, min_p=0.5), "top": True},
]


def kinds():
    return [Request(str(n), [n + 1, 9], (0, 3), **kind) for n, kind in enumerate(KINDS)]


@pytest.fixture(scope="module")
def engine():
    return models.start(models.CONFIG, models.random_params())


@pytest.fixture(scope="module")
def alone(engine):
    found = {}
    for request in kinds():
        found |= models.collect(engine.run([request]))
    return found


def drain(engine, steps=3):
    while not engine.idle:
        yield from engine.step(steps=steps)


def test_all_kinds_at_once_equal_each_alone(engine, alone):
    """Also those that ask for nothing, beside others that need penalties."""
    models.assert_same(models.collect(engine.run(kinds())), alone)


def test_pieces_add_up_to_the_sample(engine, alone):
    for request in kinds():
        engine.submit(request._replace(stream=True))
    pieces = {}
    for piece in drain(engine):
        pieces.setdefault((piece.name, piece.index), []).append(piece)
    assert max(map(len, pieces.values())) > 3
    for key, parts in pieces.items():
        assert all(part.reason == "" for part in parts[:-1])
        assert parts[-1].reason == alone[key].reason
        for field in ("tokens", "logprobs"):
            whole = np.concatenate([getattr(part, field) for part in parts])
            np.testing.assert_array_equal(whole, getattr(alone[key], field))


def test_a_request_may_come_while_others_run(engine, alone):
    first, *others = kinds()
    engine.submit(first)
    found = engine.step(steps=4)
    for request in others:
        engine.submit(request)
    models.assert_same(models.collect([*found, *drain(engine)]), alone)


def test_cancelled_nothing_more_is_told_and_its_rows_go_to_others(engine, alone):
    for name in ("gone", "late"):
        engine.submit(Request(name, [1, 2], range(40), policy=WARM, stream=True))
    assert {told.name for told in engine.step(steps=2)} == {"gone"}
    assert 10 < engine.running <= 16 and engine.waiting == 64
    engine.cancel("gone")
    engine.cancel("late", 5)
    for request in kinds():
        engine.submit(request)
    found = list(drain(engine))
    late = {told.index for told in found if told.name == "late" and told.reason}
    assert late == set(range(40)) - {5}
    assert "gone" not in {told.name for told in found}
    models.assert_same(models.collect(told for told in found if told.name != "late"), alone)


def test_stops_without_room_on_the_device_stop_all_the_same(alone):
    cramped = models.start(models.CONFIG, models.random_params(), stop_states=2)
    models.assert_same(models.collect(cramped.run(kinds())), alone)


def test_many_sets_of_stops_share_the_room():
    """More states than there are, a few at a time; each sample ends at its own stop."""
    config, params = models.counting_model()
    engine = models.start(config, params, stop_states=8)
    asked = [
        Request(str(n), [1], policy=Policy(temperature=0.0), stops=(chr(n) + chr(n + 1),))
        for n in range(2, 20)
    ]
    found = models.collect(engine.run(asked))
    for n in range(2, 20):
        np.testing.assert_array_equal(found[str(n), 0].tokens, np.arange(2, n + 2))


def test_penalties_and_bias_move_the_logits(alone):
    assert (alone["4", 0].tokens == 4).all()  # biased by 100
    said = alone["3", 0].tokens
    assert len(set(said)) > 0.8 * len(said)
    greedy = [Request("", [3], policy=Policy(temperature=0.0, frequency_penalty=2.0), new=24)]
    engine = models.start(models.CONFIG, models.random_params())
    tokens = next(engine.run(greedy)).tokens
    for n, token in enumerate(tokens):
        logits = models.teacher_forced(models.CONFIG, models.random_params(), [3, *tokens[:n]])[-1]
        counts = np.bincount(tokens[:n], minlength=models.V)
        assert token == (logits - 2.0 * counts).argmax()


def test_likely_tokens_are_the_models(alone):
    sample = alone["5", 3]
    text = [6, 9, *sample.tokens[:-1]]
    wanted = models.teacher_forced(models.CONFIG, models.random_params(), text)[1:]
    assert sample.top.tokens.shape == (len(sample.tokens), 5)
    np.testing.assert_array_equal(sample.top.tokens, np.argsort(-wanted, axis=1)[:, :5])
    found = np.take_along_axis(wanted, sample.top.tokens, axis=1)
    np.testing.assert_allclose(sample.top.logprobs, found, rtol=1e-4, atol=1e-4)


def test_an_echoed_prompt_is_scored(engine):
    prompt = models.PROMPTS[2]
    engine.submit(Request("both", prompt, policy=WARM, echo=True))
    engine.submit(Request("only", prompt[:7], (), echo=True))
    found = list(drain(engine))
    scored = {told.name: told for told in found if isinstance(told, Scored)}
    assert len(found) == 3 and scored.keys() == {"both", "only"}
    for name, tokens in (("both", prompt), ("only", prompt[:7])):
        wanted = models.teacher_forced(models.CONFIG, models.random_params(), tokens)[:-1]
        each = wanted[np.arange(len(tokens) - 1), tokens[1:]]
        np.testing.assert_allclose(scored[name].logprobs, each, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(
            scored[name].top.tokens, np.argsort(-wanted, axis=1, kind="stable")[:, :5]
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens": []}, "prompt of 0 tokens; expected 1 to 256"),
        ({"tokens": [1] * 257}, "prompt of 257 tokens"),
        ({"tokens": [1, 64]}, "token 64 of its prompt is none of the model's 64"),
        ({"tokens": [-1, 3]}, "token -1 of its prompt"),
        ({"new": 25}, "25 new tokens; expected 1 to 24"),
        ({"new": 0}, "0 new tokens"),
    ],
)
def test_what_does_not_fit_is_refused(engine, wrong, message):
    with pytest.raises(InputError, match=message):
        engine.submit(Request("r", [1])._replace(**wrong))
    assert engine.idle
