"""Rematerialization presets: values that the backward pass reads and recomputes, fastest first."""

from collections.abc import Callable

import jax
from jax import checkpoint_policies as policies

from codex_jax.model.attention.core import ATTENTION

# Products with weights; attention's own products have batch dimensions, and are never stored.
_DOTS = policies.dots_with_no_batch_dims_saveable

# Stored of a block, besides its input: everything; matrix products and attention's result; matrix
# products; matrix products, in the host's memory; nothing.
_POLICIES = {
    "none": None,
    "minimal": policies.save_from_both_policies(_DOTS, policies.save_only_these_names(ATTENTION)),
    "save_dots": _DOTS,
    "offload": policies.offload_dot_with_no_batch_dims("device", "pinned_host"),
    "full": policies.nothing_saveable,
}

PRESETS = tuple(_POLICIES)


def wrap(preset: str) -> Callable[[Callable], Callable]:
    """A wrapper of block(x, params, cache, layer), for `model.forward`."""
    policy = _POLICIES[preset]
    if policy is None:
        return lambda block: block
    # Scanned blocks can't be merged with their recomputation, so CSE needn't be prevented.
    return lambda block: jax.checkpoint(block, policy=policy, prevent_cse=False)
