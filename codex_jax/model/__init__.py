"""The decoder: a frozen description, and pure functions over a pytree of parameters."""

from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import Params, abstract_params, forward, init, unembed, unstack_layers

__all__ = [
    "DecoderConfig",
    "Params",
    "abstract_params",
    "forward",
    "init",
    "unembed",
    "unstack_layers",
]
