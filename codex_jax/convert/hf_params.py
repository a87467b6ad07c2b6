"""Conversion of foreign weights to ours and back, by the tables of `families`.

Both directions work on dictionaries of arrays; other modules read and write the files.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from codex_jax import InputError
from codex_jax.convert.families import FAMILIES
from codex_jax.convert.families.table import Scales, Weight
from codex_jax.convert.hf_config import read_config, read_scales, write_config
from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import Params, abstract_params

__all__ = ["FAMILIES", "read_config", "read_params", "write_config", "write_params"]


def _leaves(tree: Params, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) of every leaf, with "/" between names."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}/")
        else:
            yield path + name, value


def _nested(leaves: Mapping[str, Any]) -> Params:
    """The tree of leaves by path."""
    tree: Params = {}
    for path, value in leaves.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = value
    return tree


def read_params(
    family: str,
    config: DecoderConfig,
    read_tensor: Callable[[str], np.ndarray],
    scales: Scales | None = None,
) -> Params:
    """Converts foreign weights to our parameters, in f32.

    Args:
      family: a row of FAMILIES.
      config: from `read_config`.
      read_tensor: returns a foreign weight by its name.
      scales: from `read_scales` of the foreign config; by default, those of our config's.

    Raises:
      InputError: a weight whose shape differs from the config's.
    """
    table = FAMILIES[family].weights
    if scales is None:
        scales = read_scales(family, write_config(family, config))
    params = {}
    for path, leaf in _leaves(abstract_params(config)[0]):
        if path not in table:
            raise InputError(f"{family} has no weight for {path}; import another model")
        weight, shape = table[path], leaf.shape
        if path.startswith("blocks/"):
            names = (weight.name.format(n) for n in range(config.layers))  # the first may lack
            layers = [_to_ours(read_tensor(n), weight, path, shape[1:], config) for n in names]
            params[path] = np.stack(layers)
        else:
            unpadded = _unpadded(path, config, shape)
            value = _to_ours(read_tensor(weight.name), weight, path, unpadded, config)
            padding = [(0, size - n) for n, size in zip(value.shape, shape, strict=True)]
            params[path] = np.pad(value, padding)
        params[path] = _multiply(params[path], scales.get(path))
    return _nested(params)


def _multiply(value: np.ndarray, factor: float | np.ndarray | None) -> np.ndarray:
    """The product with a number, or with one of each layer; in f32."""
    if factor is None:
        return value
    factors = np.reshape(np.asarray(factor), (-1,) + (1,) * (value.ndim - 1))
    return (value * factors).astype(np.float32)


def write_params(family: str, config: DecoderConfig, params: Params) -> dict[str, np.ndarray]:
    """Converts our parameters to foreign weights: the inverse of `read_params`."""
    table = FAMILIES[family].weights
    scales = read_scales(family, write_config(family, config))
    weights: dict[str, dict[int, tuple[Weight, np.ndarray]]] = {}
    for path, leaf in _leaves(params):
        weight, value = table[path], np.asarray(leaf)
        if path in scales:
            value = _multiply(value, 1 / np.asarray(scales[path]))
        if path.startswith("blocks/"):
            named = {weight.name.format(n): layer for n, layer in enumerate(value)}
        else:
            unpadded = tuple(slice(n) for n in _unpadded(path, config, value.shape))
            named = {weight.name: value[unpadded]}
        for name, array in named.items():
            part = _to_foreign(array, weight, path, config)
            weights.setdefault(name, {})[weight.part] = weight, part
    return {name: _join(parts, config) for name, parts in weights.items()}


def _unpadded(path: str, config: DecoderConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape without the vocabulary's padding."""
    axis = {"embedding": 0, "unembedding": 1, "unembedding_bias": 0}.get(path)
    return tuple(config.vocab_size if n == axis else size for n, size in enumerate(shape))


def _to_ours(
    value: np.ndarray, weight: Weight, path: str, shape: tuple[int, ...], config: DecoderConfig
) -> np.ndarray:
    """Converts a foreign weight to a parameter of ours."""
    value = np.asarray(value, np.float32)
    expected = _foreign_shape(weight, path, shape)
    if [n for n in value.shape if n != 1] != [n for n in expected if n != 1]:
        raise InputError(f"{weight.name}: shape {list(value.shape)}; expected {list(expected)}")
    if weight.layout == "minus 1":
        value = value + 1
    value = value if weight.layout in ("same", "minus 1") else value.T  # outputs last
    if weight.parts > 1:
        groups = weight.groups or config.heads
        value = value.reshape(*value.shape[:-1], groups, weight.parts, -1)[..., weight.part, :]
    if weight.layout == "interleaved":
        value = value.reshape(-1, shape[-1])
        rotated, rest = np.split(value, [config.rotary_size], axis=-1)
        rotated = rotated.reshape(len(value), -1, 2).swapaxes(1, 2).reshape(rotated.shape)
        value = np.concatenate([rotated, rest], axis=-1)
    return value.reshape(shape)


def _foreign_shape(weight: Weight, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a foreign weight that holds all parts of a parameter of ours."""
    size = int(np.prod(shape)) * weight.parts
    if path.endswith(("bias", "scale", "shift")):
        return (size,)
    inputs = int(np.prod(shape[:-1] if path.endswith("/out") else shape[:1]))
    matrix = inputs, size // inputs
    return matrix if weight.layout in ("same", "minus 1") else matrix[::-1]


def _to_foreign(value: np.ndarray, weight: Weight, path: str, config: DecoderConfig) -> np.ndarray:
    """Converts a parameter to its part of a foreign weight, outputs last."""
    if weight.layout == "minus 1":
        return value.ravel() - 1
    if path.endswith(("bias", "scale", "shift")) and weight.layout != "interleaved":
        return value.ravel()
    shape = value.shape
    if weight.layout == "interleaved":
        value = value.reshape(-1, shape[-1])
        rotated, rest = np.split(value, [config.rotary_size], axis=-1)
        rotated = rotated.reshape(len(value), 2, -1).swapaxes(1, 2).reshape(rotated.shape)
        value = np.concatenate([rotated, rest], axis=-1)
    if path.endswith("bias"):
        return value.ravel()
    inputs = shape[:-1] if path.endswith("/out") else shape[:1]
    return value.reshape(int(np.prod(inputs)), -1)


def _join(parts: dict[int, tuple[Weight, np.ndarray]], config: DecoderConfig) -> np.ndarray:
    """Joins the parts of a foreign weight, in its layout."""
    weight, first = parts[0]
    groups = weight.groups or config.heads
    arrays = [parts[n][1].reshape(*first.shape[:-1], groups, -1) for n in sorted(parts)]
    value = np.stack(arrays, axis=-2).reshape(*first.shape[:-1], -1)
    return np.ascontiguousarray(value if weight.layout in ("same", "minus 1") else value.T)
