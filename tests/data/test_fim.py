"""The three pieces are the document, whichever way round."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from codex_jax.data.examples.fim import MIDDLE, PREFIX, SUFFIX, infill


def _put_together(parts) -> str:
    names = [part.text for part in parts if part.special]
    if names == [PREFIX, SUFFIX, MIDDLE] and not parts[1].special:
        _, prefix, _, suffix, _, middle = (part.text for part in parts)
        return prefix + middle + suffix
    assert names == [PREFIX, SUFFIX, MIDDLE]
    assert parts[1].special
    return parts[4].text + parts[2].text


@hypothesis.given(text=st.text(), seed=st.integers(0, 2**32), spm=st.sampled_from([0.0, 0.5, 1.0]))
def test_the_pieces_are_the_document(text, seed, spm):
    parts = infill(text, np.random.default_rng(seed), spm_rate=spm)
    assert _put_together(parts) == text
    again = infill(text, np.random.default_rng(seed), spm_rate=spm)
    assert parts == again


def test_the_rate_of_spm():
    rng = np.random.default_rng(0)
    spm = sum(infill("some text", rng, spm_rate=0.3)[1].special for _ in range(4000))
    assert abs(spm / 4000 - 0.3) < 0.03
