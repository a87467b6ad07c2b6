import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jax.sample.sampling.detokenizer import Stream, whole_text
from codex_jax.sample.sampling.stop_strings import cut

words = st.text("ab\né√", min_size=1, max_size=4)


@given(st.lists(words, max_size=4), st.text("ab\né√😀", max_size=30), st.data())
@settings(max_examples=300, deadline=None)
def test_pieces_are_the_text_before_its_stop_and_never_taken_back(stops, text, data):
    """Tokens cut anywhere, within characters and stops, told in pieces of any size."""
    said = text.encode()
    ends = sorted(data.draw(st.sets(st.integers(0, len(said)), max_size=12)) | {0, len(said)})
    tokens = [said[a:b] for a, b in itertools.pairwise(ends)]
    stream = Stream([*tokens, b"!"].__getitem__, eos_id=len(tokens), stops=stops)
    told, n = "", 0
    wanted = cut(said, stops)[0].decode()
    while n < len(tokens) and not stream.stopped:
        more = data.draw(st.integers(1, 4))
        told += stream.feed(range(n, min(n + more, len(tokens))))
        assert wanted.startswith(told)
        n += more
    assert told + stream.end() == wanted


def test_half_a_character_at_the_end_is_left_out_and_noise_is_marked():
    vocabulary = [b"a\xc3", b"\xa9", b"\xff", b"<end>"].__getitem__
    assert whole_text([0, 1], vocabulary, eos_id=3) == "aé"
    assert whole_text([1, 0], vocabulary, eos_id=3) == "�a"
    assert whole_text([2, 0, 3, 1], vocabulary, eos_id=3) == "�a"
