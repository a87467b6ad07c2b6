"""Fill in the middle: a document cut in three, its middle moved to the end (arXiv 2207.14255).

PSM is <prefix>p<suffix>s<middle>m. SPM is <prefix><suffix>s<middle>pm, the paper's joint form, in
which prefix and middle run into each other, so that a cut inside a word costs nothing.
"""

import numpy as np

from codex_jax.data.documents import Span
from codex_jax.tokenizer import SPECIALS

_, PREFIX, MIDDLE, SUFFIX = SPECIALS


def infill(text: str, rng: np.random.Generator, *, spm_rate: float = 0.5) -> tuple[Span, ...]:
    """Returns `text` as spans, cut at two random characters; SPM with probability `spm_rate`."""
    first, second = sorted(rng.integers(0, len(text) + 1, 2))
    prefix, middle, suffix = text[:first], text[first:second], text[second:]
    mark = {name: Span(name, special=True) for name in (PREFIX, MIDDLE, SUFFIX)}
    if rng.random() < spm_rate:
        return mark[PREFIX], mark[SUFFIX], Span(suffix), mark[MIDDLE], Span(prefix + middle)
    return mark[PREFIX], Span(prefix), mark[SUFFIX], Span(suffix), mark[MIDDLE], Span(middle)
