"""The decoder: a frozen description, and pure functions over a pytree of parameters."""

from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import Params, abstract_params, forward, init, unembed, unstack_layers
from codex_jax.model.low_rank import LowRank

__all__ = [
    "DecoderConfig",
    "LowRank",
    "Params",
    "abstract_params",
    "forward",
    "init",
    "unembed",
    "unstack_layers",
]
