import itertools

import hypothesis
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax.sample.sampling.detokenizer import Detokenizer, detokenize
from codex_jax.sample.sampling.stop_strings import truncate_at_stop

words = st.text("ab\né√", min_size=1, max_size=4)


@hypothesis.given(st.lists(words, max_size=4), st.text("ab\né√😀", max_size=30), st.data())
@settings(max_examples=300)
def test_pieces_are_the_text_before_its_stop_and_never_taken_back(stops, text, data):
    """Tokens begin anywhere, within characters and stops, and arrive in pieces of any size."""
    encoded = text.encode()
    ends = sorted(data.draw(st.sets(st.integers(0, len(encoded)), max_size=12)) | {0, len(encoded)})
    tokens = [encoded[a:b] for a, b in itertools.pairwise(ends)]
    detokenizer = Detokenizer([*tokens, b"!"].__getitem__, eos_ids=[len(tokens)], stops=stops)
    emitted, n = "", 0
    expected = truncate_at_stop(encoded, stops)[0].decode()
    while n < len(tokens) and not detokenizer.stopped:
        more = data.draw(st.integers(1, 4))
        emitted += detokenizer.feed(range(n, min(n + more, len(tokens))))
        assert expected.startswith(emitted)
        n += more
    assert emitted + detokenizer.flush() == expected


def test_half_a_character_at_the_end_is_left_out_and_noise_is_marked():
    vocabulary = [b"a\xc3", b"\xa9", b"\xff", b"<end>"].__getitem__
    assert detokenize([0, 1], vocabulary, eos_ids=[3]) == "aé"
    assert detokenize([1, 0], vocabulary, eos_ids=[3]) == "�a"
    assert detokenize([2, 0, 3, 1], vocabulary, eos_ids=[3]) == "�a"
