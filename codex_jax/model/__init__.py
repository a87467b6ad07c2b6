"""The decoder: a frozen description, and pure functions over a pytree of parameters."""

from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import Params, abstract, forward, init, split, unembed

__all__ = ["DecoderConfig", "Params", "abstract", "forward", "init", "split", "unembed"]
