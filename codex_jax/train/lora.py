"""LoRA: a small tree of narrow matrices is trained beside weights that stay (arXiv 2106.09685).

The optimizer sees the small tree alone. optax.masked would hide the frozen weights from it too, but
not from the gradient, which would still be computed and thrown away.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from codex_jax import InputError
from codex_jax.list_settings import split_names
from codex_jax.model import DecoderConfig, LowRank, Params, abstract_params, init

_GROUPS = ("attention", "mlp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lora:
    """Narrow matrices that are trained in the weights' place.

    Args:
      lora_rank: Of the matrices; 0 trains the weights themselves.
      lora_alpha: Over the rank, the factor of their product.
      lora_targets: Names of the blocks' matrices that get them, as in "q,v"; () is all of q, k, v,
        out, up, gate and down that the model has.
    """

    lora_rank: int = 0
    lora_alpha: float = 32.0
    lora_targets: Sequence[str] | str = ()

    @property
    def scale(self) -> float:
        """Factor of the product."""
        return self.lora_alpha / self.lora_rank if self.lora_rank else 0.0

    @property
    def names(self) -> list[str]:
        """The targets, each once, sorted."""
        return sorted({*split_names("lora_targets", self.lora_targets)})

    def settings(self) -> dict[str, Any]:
        """Returns the entries of a run's card; none without a rank."""
        if not self.lora_rank:
            return {}
        return {
            "lora.rank": self.lora_rank,
            "lora.alpha": self.lora_alpha,
            "lora.targets": self.names,
        }


def trained_params(config: DecoderConfig, lora: Lora) -> tuple[Params, Params]:
    """Returns shapes and logical axes of the tree that a run trains: all weights, or LoRA's.

    Raises:
      InputError: a target that the model doesn't have, or a rank that none of its matrices has.
    """
    shapes, axes = abstract_params(config)
    if not lora.lora_rank:
        return shapes, axes
    matrices = {
        (group, name): (leaf, axes["blocks"][group][name])
        for group in _GROUPS
        for name, leaf in shapes["blocks"][group].items()
        if "embed" in axes["blocks"][group][name]
    }
    names = [name for _, name in matrices]
    if unknown := [name for name in lora.names if name not in names]:
        raise InputError(
            f"Lora.lora_targets names {unknown[0]!r}; this model has {', '.join(names)}"
        )
    if lora.lora_rank > config.width:
        raise InputError(
            f"Lora.lora_rank is {lora.lora_rank}; no matrix of this model has a rank over "
            f"{config.width}; set it lower"
        )
    pairs: tuple[Params, Params] = ({}, {})
    for (group, name), (leaf, logical) in matrices.items():
        if name in (lora.names or names):
            for tree, pair in zip(pairs, _narrow(leaf, logical, lora.lora_rank), strict=True):
                tree.setdefault("blocks", {}).setdefault(group, {})[name] = pair
    return pairs


def _narrow(leaf: Any, logical: Sequence[str], rank: int) -> tuple[Params, Params]:
    """Returns shapes and axes of the pair beside a matrix of the stack; it has a leading L."""
    inputs = 1 if logical[1] == "embed" else len(logical) - 2
    split = 1 + inputs
    down, up = (*leaf.shape[:split], rank), (leaf.shape[0], rank, *leaf.shape[split:])
    axes = {
        "down": (*logical[:split], "rank"),
        "up": (logical[0], "rank", *logical[split:]),
    }
    shapes = {"down": down, "up": up}
    return {n: jax.ShapeDtypeStruct(s, jnp.float32) for n, s in shapes.items()}, axes


def init_trained(config: DecoderConfig, lora: Lora, key: jax.Array) -> Params:
    """Initial f32 parameters of the tree that a run trains.

    Of LoRA's pairs `up` is 0, so that step 0 computes what the weights alone do.
    """
    if not lora.lora_rank:
        return init(config, key)
    shapes, _ = trained_params(config, lora)
    numbers = itertools.count()

    def init_leaf(path: Any, leaf: Any) -> jax.Array:
        leaf_key = jax.random.fold_in(key, next(numbers))
        if path[-1].key == "up":
            return jnp.zeros(leaf.shape, jnp.float32)
        return jax.random.normal(leaf_key, leaf.shape) * math.prod(leaf.shape[1:-1]) ** -0.5

    return jax.tree_util.tree_map_with_path(init_leaf, shapes)


def attach(base: Params, adapters: Mapping[str, Any], scale: float) -> Params:
    """Returns the base's parameters with LoRA's pairs beside their matrices; computes nothing."""
    blocks = dict(base["blocks"])
    for group, pairs in adapters["blocks"].items():
        blocks[group] = blocks[group] | {
            name: LowRank(blocks[group][name], pair["down"], pair["up"], scale)
            for name, pair in pairs.items()
        }
    return dict(base) | {"blocks": blocks}
