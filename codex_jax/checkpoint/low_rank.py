"""Checkpoints whose parameters are low-rank updates of another one's, which their cards name.

They have a hundredth of its size. Whoever reads their parameters gets the sum, as of any other
checkpoint; a hash of the base's checksums says that it is the one they were trained beside.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from codex_jax.checkpoint.card import Card
from codex_jax.remote.paths import is_remote


def describe_base(directory: epath.PathLike, card: Card, checkpoint_dir: epath.PathLike) -> Any:
    """Returns the card's entry of a base, which is looked for by both of its paths.

    Args:
      directory: Of the base.
      card: The base's.
      checkpoint_dir: Of the checkpoints that refer to it.
    """
    path, other = str(directory), str(checkpoint_dir)
    relative = "" if is_remote(path) or is_remote(other) else os.path.relpath(path, other)
    absolute = path if is_remote(path) else str(epath.Path(path).absolute())
    paths = {"directory": absolute, "relative": relative}
    return paths | {"step": card.step, "hash": hash_params(card)}


def hash_params(card: Card) -> str:
    """Hashes the checksums of a checkpoint's parameters, and its own base's hash if it has one."""
    sums = {name: n for name, n in card.checksums.items() if name.startswith("params/")}
    base = card.low_rank.get("base", {}).get("hash", "")
    page = json.dumps([sorted(sums.items()), base])
    return hashlib.sha256(page.encode()).hexdigest()


def base_paths(base: Mapping[str, Any], checkpoint_dir: epath.PathLike) -> list[str]:
    """Returns the paths at which a base may be: where it was, and where it was beside this one."""
    has_beside = base["relative"] and not is_remote(checkpoint_dir)
    beside = [str(epath.Path(checkpoint_dir) / base["relative"])] if has_beside else []
    return [base["directory"], *beside]


def merge(base: Any, pairs: Mapping[str, Any], scale: float, shapes: Any) -> Any:
    """Adds each pair's product to its matrix, in f32; the sum has the dtypes of `shapes`.

    Args:
      base: All parameters.
      pairs: Nested as they are; a matrix's place has "down" and "up".
      scale: Factor of the products.
      shapes: ShapeDtypeStructs of all parameters, with or without shardings.
    """

    def add(weights: Any, updates: Any, targets: Any) -> Any:
        if not isinstance(weights, dict):
            return _add(weights, updates, targets, scale)
        rest = updates or {}
        return {name: add(weights[name], rest.get(name), targets[name]) for name in weights}

    return add(base, pairs, shapes)


def _add(weight: jax.Array, pair: Mapping[str, jax.Array] | None, target: Any, scale: float) -> Any:
    if pair is None:
        return weight.astype(target.dtype)
    placement = getattr(target, "sharding", None)
    placement = placement if isinstance(placement, jax.sharding.Sharding) else weight.sharding
    compute = jax.jit(
        functools.partial(_sum, scale=scale, dtype=target.dtype), out_shardings=placement
    )
    return compute(weight, pair["down"], pair["up"])


def _sum(weight: Any, down: Any, up: Any, *, scale: float, dtype: Any) -> jax.Array:
    """The sum for a stack: weight (L, in, out), down (L, in, R), up (L, R, out)."""
    dimensions = (((down.ndim - 1,), (1,)), ((0,), (0,)))
    product = jax.lax.dot_general(down, up, dimensions, precision="highest")
    return (weight.astype(jnp.float32) + scale * product).astype(dtype)
