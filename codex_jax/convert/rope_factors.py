"""Llama 3's scaling of rotary positions, from the factors that GGUF files store in its place."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from codex_jax import InputError
from codex_jax.model.config import DecoderConfig
from codex_jax.model.rotary_scaling import rotary_divisors

_SLOW, _FAST = 1.0, 4.0  # Llama 3's, which a file with few frequencies leaves open


def read_factors(factors: np.ndarray, base: float) -> dict[str, Any]:
    """The rope_scaling, as config.json has it, whose divisors of the frequencies these are.

    Args:
      factors: rope_freqs.weight, a divisor of each rotary frequency.
      base: of the rotary positions.

    Raises:
      InputError: factors that Llama 3's formula doesn't give.
    """
    factors = np.asarray(factors, float).ravel()
    if np.allclose(factors, 1, atol=1e-6):
        return {}
    candidates = _candidates(factors, base) if factors.max() > 1 else ()
    for fast, length in candidates:
        if length >= 1 and fast > _SLOW and _is_equal(factors, base, fast, length):
            return {
                "rope_type": "llama3",
                "factor": float(factors.max()),
                "low_freq_factor": _SLOW,
                "high_freq_factor": fast,
                "original_max_position_embeddings": length,
            }
    raise InputError(
        "rope_freqs.weight has factors that Llama 3's formula doesn't give; import the model's "
        "Hugging Face folder"
    )


def _candidates(factors: np.ndarray, base: float) -> Iterator[tuple[float, int]]:
    """Guesses of (high_freq_factor, original length) from the frequencies scaled in part."""
    waves = base ** (-np.arange(len(factors)) / len(factors)) / (2 * np.pi)
    share = 1 - (1 - 1 / factors) / (1 - 1 / factors.max())  # 0: scaled, 1: unscaled
    partly = (share > 1e-5) & (share < 1 - 1e-5)
    if partly.sum() > 1:  # share = (length·wave - slow) / (fast - slow)
        slope, offset = np.polyfit(waves[partly], share[partly], 1)
        fast = _SLOW - _SLOW / offset if offset < 0 else 0.0
        for rounded in (round(fast, 2), fast):
            yield rounded, round(slope * (rounded - _SLOW))
    elif partly.any():
        first = int(np.argmax(partly))
        yield _FAST, round((share[first] * (_FAST - _SLOW) + _SLOW) / waves[first])
    else:
        yield _FAST, int(_SLOW / waves[share < 0.5].max())


def _is_equal(factors: np.ndarray, base: float, fast: float, length: int) -> bool:
    size = 2 * len(factors)
    config = DecoderConfig(
        vocab_size=1,
        layers=1,
        width=size,
        heads=1,
        max_length=1,
        positions="rotary",
        rotary_base=base,
        rotary_scaling="llama3",
        rotary_factor=float(factors.max()),
        rotary_original_length=length,
        rotary_slow=_SLOW,
        rotary_fast=fast,
    )
    return bool(np.allclose(rotary_divisors(config), factors, rtol=1e-4))
