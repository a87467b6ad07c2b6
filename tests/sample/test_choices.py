import hypothesis
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax.sample.engine.requests import PromptLogprobs, Sample, TopLogprobs
from codex_jax.sample.serve.choices import ChoiceBuilder, make_choice, token_string, usage

TOKENS = [b"a", b"\xc3", b"\xa9", b"b", b"<end>"]


def builder(stops=(), top_logprobs=0, start=0):
    return ChoiceBuilder(
        TOKENS.__getitem__, eos_ids=[4], stops=stops, top_logprobs=top_logprobs, start=start
    )


def piece(tokens, finish_reason=""):
    logprobs = -np.arange(1.0, len(tokens) + 1)
    return Sample("x", 0, np.array(tokens, int), logprobs, finish_reason)


def test_a_token_is_named_by_its_text_or_its_bytes():
    assert token_string("é".encode()) == "é"
    assert token_string(b"\xc3") == "bytes:\\xc3"


def test_an_echoed_prompt_has_no_logprob_for_its_first_token():
    top = TopLogprobs(np.array([[3, 0]]), np.array([[-0.5, -np.inf]]))
    text, logprobs = builder(top_logprobs=2).echo(
        [0, 3], PromptLogprobs("x", np.array([-0.5]), top)
    )
    assert text == "ab"
    assert logprobs["token_logprobs"] == [None, -0.5]
    assert logprobs["top_logprobs"] == [None, {"a": -9999.0, "b": -0.5}]
    assert logprobs["text_offset"] == [0, 1]


def test_an_echo_is_the_text_that_was_sent():
    """A tokenizer may put a space in front of a text, and changes it in its own way."""
    tokens = [b" def", b" f", b"<end>"]
    choice = ChoiceBuilder(tokens.__getitem__, eos_ids=[2], stops=(), top_logprobs=0)
    top = TopLogprobs(np.array([[1]]), np.array([[-0.5]]))
    text, logprobs = choice.echo([0, 1], PromptLogprobs("x", np.array([-0.5]), top), text="def f")
    assert text == "def f"
    assert logprobs["tokens"] == ["def", " f"]
    assert logprobs["text_offset"] == [0, 3]
    assert builder().echo([0, 3], None, text="ab") == ("ab", None)
    assert builder().echo([0, 3], None) == ("ab", None)


def test_a_healed_sample_begins_behind_the_prompt():
    """Bytes that the prompt has, and likely tokens that end within them, aren't shown."""
    tokens = [b"\n    ", b"\n", b"\n  ", b"x", b"<end>"]
    choice = ChoiceBuilder(tokens.__getitem__, eos_ids=[4], stops=(), top_logprobs=3)
    rows = np.array([[0, 1, 2], [3, 0, 1]]), np.array([[-0.1, -3.0, -4.0], [-0.2, -2.0, -5.0]])
    sample = Sample("x", 0, np.array([0, 3]), np.array([-0.1, -0.2]), "length", TopLogprobs(*rows))
    text, logprobs = choice.add(sample._replace(tail_bytes=1))
    assert text == "    x"
    assert logprobs["tokens"] == ["    ", "x"]
    assert logprobs["text_offset"] == [0, 4]
    assert logprobs["top_logprobs"][0] == {"    ": -0.1, "  ": -4.0}
    assert set(logprobs["top_logprobs"][1]) == {"x", "\n    ", "\n"}


@settings(max_examples=50)
@hypothesis.given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 5), st.booleans()
)
def test_pieces_of_any_size_make_the_same_choice(tokens, size, has_stop):
    """Except at a stop string, every sampled token has its log-probability."""
    stops = ("b",) if has_stop else ()
    full = builder(stops).add(piece(tokens, "length"))
    pieces = [tokens[n : n + size] for n in range(0, len(tokens), size)]
    streaming, texts, names = builder(stops), [], []
    for n, part in enumerate(pieces):
        text, logprobs = streaming.add(piece(part, "length" if n == len(pieces) - 1 else ""))
        texts.append(text)
        names += logprobs["tokens"]
    assert "".join(texts) == full[0]
    assert names == full[1]["tokens"]
    assert has_stop or len(names) == len(tokens)
    assert streaming.count == len(tokens)


def test_choices_and_usage():
    assert make_choice(1, "a", None, "stop") == {
        "text": "a",
        "index": 1,
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert usage([[1, 2], [3]], 4)["total_tokens"] == 7
