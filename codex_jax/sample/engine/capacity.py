"""How large a sampler's arrays are for what is asked of it."""

import jax

from codex_jax import InputError
from codex_jax.sample.engine import prefix_attention
from codex_jax.sample.engine.state import Shape

_ROWS, _GROUP = 32, 4  # rows, tiles at a time on a CPU; an accelerator takes all
_BUCKET = 64  # prompts are prefilled in lengths of this times a power of two


def bucket(length: int) -> int:
    """The length to which a prompt of `length` tokens is padded."""
    return max(_BUCKET, 1 << (length - 1).bit_length())


def plan(
    *,
    longest: int,
    samples: int,
    rows: int,
    new: int,
    dtype: str = "float32",
    weights: str | None = None,
    cache: str | None = None,
    platform: str | None = None,
) -> Shape:
    """Sizes for a job: rows, and room for the prompts that fill them and that come next.

    A prompt keeps its place until the longest of its samples ends, and prompts come between calls
    of the loop: with lengths as they are, rows stay busy where four times the prompts that fill
    them find room, or two and a half times where each has one sample (docs/experiments.md).

    Args:
      longest: tokens of the longest prompt.
      samples: most samples of a prompt.
      dtype: of activations, and of all else unless given.
      weights, cache: as they are kept, "int8" or a dtype.
      platform: of the devices; jax's default, unless given.

    Raises:
      InputError: a dtype that isn't known.
    """
    weights, cache = weights or dtype, cache or dtype
    _check_kinds(dtype=dtype, weights=weights, cache=cache)
    filling = -(-rows // samples)
    prompts = max(2 * filling + 4, 4 * filling if samples > 1 else 5 * filling // 2)
    tile = -(-samples // -(-samples // _ROWS))  # tiles of a prompt are alike
    group = min(_GROUP, _ROWS // tile)
    if (platform or jax.default_backend()) != "cpu":
        tile = min(rows, samples)
        group = prefix_attention.count_tiles(rows, prompts, tile)
    return Shape(
        rows=rows,
        prompts=prompts,
        prefix=bucket(longest),
        new=new,
        tile=tile,
        group=group,
        queue=max(4 * rows, samples),
        dtype=dtype,
        weights=weights,
        cache=cache,
    )


def _check_kinds(**kinds: str) -> None:
    for name, kind in kinds.items():
        known = ["float32", "bfloat16", *["int8"] * (name != "dtype")]
        if kind not in known:
            raise InputError(f"{name} is {kind!r}; expected one of {', '.join(known)}; turn {name}")
