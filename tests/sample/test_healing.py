"""Healed samples are distributed as samples of the shorter prompt that begin with the tail."""

import collections
import itertools

import numpy as np
import pytest
from scipy import stats

from codex_jax import InputError
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from tests.sample import models

PLAIN = SamplingParams(temperature=1.0, top_p=1.0)
GREEDY = SamplingParams(temperature=0.0)

# All strings of a and b up to four letters, then letters of their own; the last ends a text.
_WORDS = ["".join(w) for n in (1, 2, 3, 4) for w in itertools.product("ab", repeat=n)]
TOKEN_BYTES = [word.encode() for word in _WORDS]
TOKEN_BYTES += [bytes([n]) for n in range(128, 128 + models.V - len(TOKEN_BYTES))]
ID = {string: token for token, string in enumerate(TOKEN_BYTES)}
CONTEXT = [40, 3, 50]


def start_engine(**options):
    options = {"tail_bytes": 8, "rows": 32, "samples_per_prompt": 32} | options
    return models.start_engine(
        models.CONFIG, models.random_params(), token_bytes=TOKEN_BYTES, **options
    )


@pytest.fixture(scope="module")
def engine():
    return start_engine()


def healed(tail, n=64, **fields):
    """A request for samples that spell some tokens again."""
    fields = {"sampling_params": PLAIN, "max_new_tokens": 1} | fields
    tokens = [*CONTEXT, *(ID[string] for string in tail)]
    return Request("healed", tokens, range(n), healed=len(tail), **fields)


def spell(sample):
    """The text behind the prompt."""
    return b"".join(TOKEN_BYTES[token] for token in sample.tokens)[sample.tail_bytes :]


def logprobs_after(tokens):
    params = models.random_params()
    return models.teacher_forced(models.CONFIG, params, [*CONTEXT, *tokens])[-1].astype(float)


def test_the_distribution_is_the_models_given_the_tail(engine):
    """Every path of tokens through the tail "ab", by one pass each, against 6,000 samples."""
    expected = collections.Counter()
    first, after_a, after_ab, after_a_b = map(
        np.exp, map(logprobs_after, ([], [ID[b"a"]], [ID[b"ab"]], [ID[b"a"], ID[b"b"]]))
    )
    for token, string in enumerate(TOKEN_BYTES):
        if string.startswith(b"ab") and string != b"ab":
            expected[token, 2] += first[token]
        if string.startswith(b"b") and string != b"b":
            expected[token, 1] += first[ID[b"a"]] * after_a[token]
        expected[token, 0] += first[ID[b"ab"]] * after_ab[token]
        expected[token, 0] += first[ID[b"a"]] * after_a[ID[b"b"]] * after_a_b[token]
    total = sum(expected.values())
    counts = collections.Counter(
        (int(sample.tokens[0]), sample.tail_bytes)
        for sample in engine.run([healed([b"ab"], n=6000, seed=1)])
    )
    assert counts.keys() <= expected.keys()
    frequent = [key for key, mass in expected.items() if 6000 * mass / total >= 8]
    rest = 6000 - sum(counts[key] for key in frequent)
    observed = [*(counts[key] for key in frequent), rest]
    masses = [*(6000 * expected[key] / total for key in frequent)]
    masses.append(6000 - sum(masses))
    assert len(frequent) > 30
    assert stats.chisquare(observed, masses).pvalue > 1e-3


@pytest.mark.parametrize("tail", [[b"a"], [b"ab"], [b"b", b"a"]], ids=str)
def test_texts_are_those_of_the_prompt_cut_earlier(engine, tail):
    """The next two bytes: of healed samples, and of free samples that begin with the tail."""
    text = b"".join(tail)
    free = Request("free", CONTEXT, range(6000), PLAIN, 2, 2 + len(text))
    texts = [spell(sample) for sample in engine.run([free])]
    of_cut = collections.Counter(t[len(text) : len(text) + 2] for t in texts if t.startswith(text))
    samples = engine.run([healed(tail, n=2000, seed=3, max_new_tokens=2)])
    of_healed = collections.Counter(spell(sample)[:2] for sample in samples)
    keys = [key for key in of_cut | of_healed if of_cut[key] + of_healed[key] >= 10]
    table = [[counts[key] for key in keys] for counts in (of_cut, of_healed)]
    assert len(keys) >= 5
    assert min(map(sum, table)) > 100
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_a_sample_depends_on_its_request_alone(engine):
    requests = [
        healed([b"ab"], n=8, max_new_tokens=9)._replace(id="0"),
        healed([b"b", b"a"], n=8, max_new_tokens=9)._replace(id="1"),
        Request("2", CONTEXT, range(8), PLAIN, max_new_tokens=9),
    ]
    together = models.collect(engine.run(requests))
    apart = models.collect(s for request in reversed(requests) for s in engine.run([request]))
    models.assert_same(together, apart)
    plain = start_engine(tail_bytes=0)
    unhealed = models.collect(plain.run(requests[2:]))
    models.assert_same({key: apart[key] for key in unhealed}, unhealed)


def test_max_new_tokens_counts_what_is_visible(engine):
    for count in (1, 3):
        for sample in engine.run([healed([b"b", b"a"], max_new_tokens=count)]):
            assert len(sample.tokens) == len(sample.logprobs)
            assert len(sample.tokens) == count or sample.tokens[-1] == models.EOS
            assert 0 <= sample.tail_bytes < len(TOKEN_BYTES[sample.tokens[0]])


def test_log_probabilities_are_conditional_on_the_tail(engine):
    first = logprobs_after([])
    allowed = [t for t, s in enumerate(TOKEN_BYTES) if s.startswith(b"abb") or s in (b"a", b"ab")]
    log_mass = np.logaddexp.reduce(first[allowed])
    covering = [s for s in engine.run([healed([b"abb"])]) if s.tail_bytes == 3]
    assert covering
    for sample in covering:
        np.testing.assert_allclose(
            sample.logprobs[0], first[sample.tokens[0]] - log_mass, rtol=0, atol=1e-4
        )


def test_stops_begin_behind_the_prompt(engine):
    for sample in engine.run([healed([b"ab"], stops=["ba", "aaa"], max_new_tokens=20)]):
        last = TOKEN_BYTES[sample.tokens[-1]]
        text, before = spell(sample), spell(sample._replace(tokens=sample.tokens[:-1]))
        assert b"ba" not in before
        assert b"aaa" not in before
        is_stopped = b"ba" in text or b"aaa" in text
        is_cut = len(sample.tokens) == 20 or last == TOKEN_BYTES[models.EOS]
        assert is_stopped or is_cut


def test_stops_on_the_host_begin_behind_the_prompt(engine):
    """Stops without space in the table end the same samples."""
    small = start_engine(stop_states=6)
    request = healed([b"ab"], n=16, stops=["baaaaaab", "ab", "aaa"], max_new_tokens=20)
    models.assert_same(models.collect(small.run([request])), models.collect(engine.run([request])))


def test_streams_take_nothing_back(engine):
    request = healed([b"b", b"a"], n=8, max_new_tokens=12)
    complete = models.collect(engine.run([request]))
    pieces = collections.defaultdict(list)
    engine.submit(request._replace(stream=True))
    while not engine.idle:
        for piece in engine.step(steps=1):
            pieces[piece.request_id, piece.sample_index].append(piece)
    for key, sample in complete.items():
        assert all(len(piece.tokens) for piece in pieces[key])
        np.testing.assert_array_equal(
            np.concatenate([piece.tokens for piece in pieces[key]]), sample.tokens
        )
        assert [p.tail_bytes for p in pieces[key]] == [
            sample.tail_bytes,
            *[0] * (len(pieces[key]) - 1),
        ]


def test_greedy_takes_the_likeliest_that_fits(engine):
    (sample,) = engine.run([healed([b"ab"], n=1, sampling_params=GREEDY)])
    first = logprobs_after([])
    allowed = [t for t, s in enumerate(TOKEN_BYTES) if s.startswith(b"ab") or s == b"a"]
    best = max(allowed, key=lambda token: first[token])
    if TOKEN_BYTES[best] not in (b"a", b"ab"):
        assert sample.tokens[0] == best


def test_an_unlikely_tail_ends(engine):
    """A tail whose tokens are forbidden but for one way, which fails again and again."""
    bias = {token: -100.0 for token in range(models.V) if token != ID[b"a"]}
    params = SamplingParams(temperature=1.0, top_p=1.0, logit_bias=bias)
    (sample,) = engine.run([healed([b"ab"], n=1, sampling_params=params, max_new_tokens=4)])
    assert len(sample.tokens) == 4


@pytest.mark.parametrize(
    ("count", "message"),
    [(4, "4 of 4 tokens to spell again"), (5, "expected fewer than all")],
)
def test_a_context_is_required(engine, count, message):
    with pytest.raises(InputError, match=message):
        engine.submit(healed([b"ab"])._replace(healed=count))


def test_tails_without_space_wait_and_one_that_never_fits_is_refused(engine):
    small = start_engine(stop_states=7)
    tails = ([b"ab", b"ab"], [b"b", b"a", b"b"], [b"abba"], [b"ba", b"a"])
    requests = [
        healed(tail, n=4, max_new_tokens=5, stops=["bab"] * (n % 2))._replace(id=str(n))
        for n, tail in enumerate(tails)
    ]
    models.assert_same(models.collect(small.run(requests)), models.collect(engine.run(requests)))
    with pytest.raises(InputError, match="of at most 4 bytes"):
        small.submit(healed([b"ab", b"bab"]))


def test_an_engine_without_space_refuses():
    plain = start_engine(tail_bytes=0)
    with pytest.raises(InputError, match="of at most 0 bytes"):
        plain.submit(healed([b"ab"]))
