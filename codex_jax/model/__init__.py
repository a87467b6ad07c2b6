"""The decoder: a frozen description, and pure functions over a pytree of parameters."""

from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import abstract, forward, init, unembed

__all__ = ["DecoderConfig", "abstract", "forward", "init", "unembed"]
