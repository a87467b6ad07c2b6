"""Conversion of foreign configs and weights to ours and back, by the tables of `families`.

Both directions work on dictionaries of arrays; other modules read and write the files.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from codex_jax import InputError
from codex_jax.convert.families import FAMILIES, EnumField, FractionOfHead, Weight
from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import Params, abstract_params


def read_config(family: str, foreign: Mapping[str, Any]) -> DecoderConfig:
    """Converts a foreign config; fields whose key is missing get our default.

    Raises:
      InputError: a family without a table, or a value without a name of ours.
    """
    if family not in FAMILIES:
        names = ", ".join(sorted(FAMILIES))
        raise InputError(f"model of family {family!r}; expected one of {names}")
    fields: dict[str, Any] = {}
    for field, key in FAMILIES[family].fields.items():
        value = _read_field(key, foreign, fields)
        if value is not None:
            fields[field] = value
    return DecoderConfig(**fields)


def _read_field(key: Any, foreign: Mapping[str, Any], fields: Mapping[str, Any]) -> Any:
    """The value of a field, or None if its key is missing; `fields` are those read before it."""
    if isinstance(key, EnumField):
        return _map_enum(key, foreign)
    if isinstance(key, FractionOfHead):
        fraction = foreign.get(key.name)
        return None if fraction is None else round(fraction * (fields["width"] // fields["heads"]))
    return key[0] if isinstance(key, tuple) else foreign.get(key)


def _map_enum(key: EnumField, foreign: Mapping[str, Any]) -> Any:
    value = foreign.get(key.name, next(iter(key.to_ours)))
    if value not in key.to_ours:
        names = ", ".join(map(repr, key.to_ours))
        raise InputError(f"{key.name} is {value!r}; expected one of {names}")
    return key.to_ours[value]


def write_config(family: str, config: DecoderConfig) -> dict[str, Any]:
    """Converts our config to the family's.

    Raises:
      InputError: a value that the family can't express.
    """
    foreign: dict[str, Any] = {}
    for field, key in FAMILIES[family].fields.items():
        foreign |= _write_field(family, field, key, config)
    written = dataclasses.asdict(read_config(family, foreign))
    for field, value in dataclasses.asdict(config).items():
        if field != "vocab_multiple" and value != written[field]:
            raise InputError(
                f"DecoderConfig.{field} is {value!r}; {family} always has {written[field]!r}"
            )
    return foreign


def _write_field(family: str, field: str, key: Any, config: DecoderConfig) -> dict[str, Any]:
    """The foreign key and its value, if the field has a key."""
    value = getattr(config, field)
    if isinstance(key, EnumField):
        for foreign_value, our_value in key.to_ours.items():
            if our_value == value:
                return {key.name: foreign_value}
        names = " or ".join(map(repr, key.to_ours.values()))
        raise InputError(f"DecoderConfig.{field} is {value!r}; {family} has {names}")
    if isinstance(key, FractionOfHead):
        return {key.name: value / config.head_size}
    if not isinstance(key, tuple):
        return {key: value}
    if value != key[0]:
        raise InputError(f"DecoderConfig.{field} is {value!r}; {family} always has {key[0]!r}")
    return {}


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
    family: str, config: DecoderConfig, read_tensor: Callable[[str], np.ndarray]
) -> Params:
    """Converts foreign weights to our parameters, in f32.

    Args:
      family: a row of FAMILIES.
      config: from `read_config`.
      read_tensor: returns a foreign weight by its name.

    Raises:
      InputError: a weight whose shape differs from the config's.
    """
    table = FAMILIES[family].weights
    params = {}
    for path, leaf in _leaves(abstract_params(config)[0]):
        weight, shape = table[path], leaf.shape
        if path.startswith("blocks/"):
            names = [weight.name.format(n) for n in range(config.layers)]
            layers = [_to_ours(read_tensor(name), weight, shape[1:], config) for name in names]
            params[path] = np.stack(layers)
        else:
            unpadded = _unpadded(path, config, shape)
            value = _to_ours(read_tensor(weight.name), weight, unpadded, config)
            padding = [(0, size - n) for n, size in zip(value.shape, shape, strict=True)]
            params[path] = np.pad(value, padding)
    return _nested(params)


def write_params(family: str, config: DecoderConfig, params: Params) -> dict[str, np.ndarray]:
    """Converts our parameters to foreign weights: the inverse of `read_params`."""
    table = FAMILIES[family].weights
    weights: dict[str, dict[int, tuple[Weight, np.ndarray]]] = {}
    for path, leaf in _leaves(params):
        weight, value = table[path], np.asarray(leaf)
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
    value: np.ndarray, weight: Weight, shape: tuple[int, ...], config: DecoderConfig
) -> np.ndarray:
    """Converts a foreign weight to a parameter of ours."""
    value = np.asarray(value, np.float32)
    size = int(np.prod(shape)) * weight.parts
    if value.size != size:
        raise InputError(f"{weight.name}: shape {list(value.shape)}; expected {size} numbers")
    value = value if weight.layout == "same" else value.T  # outputs last
    if weight.parts > 1:
        groups = weight.groups or config.heads
        value = value.reshape(*value.shape[:-1], groups, weight.parts, -1)[..., weight.part, :]
    if weight.layout == "interleaved":
        value = value.reshape(-1, shape[-1])
        rotated, rest = np.split(value, [config.rotary_size], axis=-1)
        rotated = rotated.reshape(len(value), -1, 2).swapaxes(1, 2).reshape(rotated.shape)
        value = np.concatenate([rotated, rest], axis=-1)
    return value.reshape(shape)


def _to_foreign(value: np.ndarray, weight: Weight, path: str, config: DecoderConfig) -> np.ndarray:
    """Converts a parameter to its part of a foreign weight, outputs last."""
    if path.endswith(("bias", "scale", "shift")):
        return value.ravel()
    shape = value.shape
    if weight.layout == "interleaved":
        value = value.reshape(-1, shape[-1])
        rotated, rest = np.split(value, [config.rotary_size], axis=-1)
        rotated = rotated.reshape(len(value), 2, -1).swapaxes(1, 2).reshape(rotated.shape)
        value = np.concatenate([rotated, rest], axis=-1)
    inputs = shape[:-1] if path.endswith("/out") else shape[:1]
    return value.reshape(int(np.prod(inputs)), -1)


def _join(parts: dict[int, tuple[Weight, np.ndarray]], config: DecoderConfig) -> np.ndarray:
    """Joins the parts of a foreign weight, in its layout."""
    weight, first = parts[0]
    groups = weight.groups or config.heads
    arrays = [parts[n][1].reshape(*first.shape[:-1], groups, -1) for n in sorted(parts)]
    value = np.stack(arrays, axis=-2).reshape(*first.shape[:-1], -1)
    return np.ascontiguousarray(value if weight.layout == "same" else value.T)
