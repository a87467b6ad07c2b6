"""Scaling of rotary frequencies, by which a model reads texts longer than it was pre-trained on."""

import math

import numpy as np
from jaxtyping import Float

from codex_jax.model.config import DecoderConfig


def rotary_divisors(config: DecoderConfig) -> Float[np.ndarray, "R"]:
    """Numbers by which the rotary frequencies are divided, the fastest first.

    linear: all by the factor (position interpolation, Chen et al. 2023). llama3 and yarn: those of
    fewer than `rotary_slow` rotations within the original length by the factor, those of more than
    `rotary_fast` by 1, and those between in part; llama3 by their rotations (Llama 3, Grattafiori
    et al. 2024), yarn by their index (YaRN, Peng et al. 2023, section 3.2).
    """
    size = config.rotary_size // 2
    if config.rotary_scaling == "none":
        return np.ones(size)
    if config.rotary_scaling == "linear":
        return np.full(size, config.rotary_factor)
    share = _llama3_share(config) if config.rotary_scaling == "llama3" else _yarn_share(config)
    return 1 / (share / config.rotary_factor + (1 - share))


def _llama3_share(config: DecoderConfig) -> Float[np.ndarray, "R"]:
    """The share of scaling in each frequency, from 0 to 1."""
    size = config.rotary_size // 2
    frequencies = config.rotary_base ** (-np.arange(size) / size)
    rotations = config.rotary_original_length * frequencies / (2 * math.pi)
    slow, fast = config.rotary_slow, config.rotary_fast
    return 1 - np.clip((rotations - slow) / (fast - slow), 0, 1)


def _yarn_share(config: DecoderConfig) -> Float[np.ndarray, "R"]:
    def index(rotations: float) -> float:
        """The frequency, by its index, that rotates so often within the original length."""
        wavelength = config.rotary_original_length / (2 * math.pi * rotations)
        return config.rotary_size * math.log(wavelength) / (2 * math.log(config.rotary_base))

    low = max(math.floor(index(config.rotary_fast)), 0)
    high = min(math.ceil(index(config.rotary_slow)), config.rotary_size - 1)
    width = max(high - low, 0.001)
    return np.clip((np.arange(config.rotary_size // 2) - low) / width, 0, 1)
