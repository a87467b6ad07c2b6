"""Foreign weights by the tables of `families`: theirs to ours, and back.

Reading and writing the files is not done here; both directions work on dictionaries of arrays.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from codex_jax import InputError
from codex_jax.convert.families import FAMILIES, Share, Weight, Word
from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import Params, abstract_params


def read_config(family: str, theirs: Mapping[str, Any]) -> DecoderConfig:
    """Their config as ours; a key they leave out takes our default.

    Raises:
      InputError: a family without a table.
    """
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(f"model of family {family!r}; expected one of {known}")
    fields = {}
    for ours, name in FAMILIES[family].fields.items():
        if isinstance(name, Word):
            value = _spoken(name, theirs)
        elif isinstance(name, Share):
            head = fields["width"] // fields["heads"]
            value = None if theirs.get(name.name) is None else round(theirs[name.name] * head)
        else:
            value = name[0] if isinstance(name, tuple) else theirs.get(name)
        if value is not None:
            fields[ours] = value
    return DecoderConfig(**fields)


def _spoken(word: Word, theirs: Mapping[str, Any]) -> Any:
    said = theirs.get(word.name, next(iter(word.ours)))
    if said not in word.ours:
        known = ", ".join(map(repr, word.ours))
        raise InputError(f"{word.name} is {said!r}; expected one of {known}")
    return word.ours[said]


def write_config(family: str, config: DecoderConfig) -> dict[str, Any]:
    """Our config in their words.

    Raises:
      InputError: the family has no way to say it.
    """
    theirs = {}
    for ours, name in FAMILIES[family].fields.items():
        value = getattr(config, ours)
        if isinstance(name, Word) and value in name.ours.values():
            theirs[name.name] = next(said for said, mine in name.ours.items() if mine == value)
        elif isinstance(name, Word):
            known = " or ".join(map(repr, name.ours.values()))
            raise InputError(f"DecoderConfig.{ours} is {value!r}; {family} has {known}")
        elif isinstance(name, Share):
            theirs[name.name] = value / config.head_size
        elif not isinstance(name, tuple):
            theirs[name] = value
        elif value != name[0]:
            raise InputError(f"DecoderConfig.{ours} is {value!r}; {family} always has {name[0]!r}")
    again = dataclasses.asdict(read_config(family, theirs))
    for ours, value in dataclasses.asdict(config).items():
        if ours != "vocab_multiple" and value != again[ours]:
            raise InputError(
                f"DecoderConfig.{ours} is {value!r}; {family} always has {again[ours]!r}"
            )
    return theirs


def _leaves(tree: Params, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}/")
        else:
            yield path + name, value


def _nested(leaves: Mapping[str, Any]) -> Params:
    tree: Params = {}
    for path, value in leaves.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = value
    return tree


def read_params(family: str, config: DecoderConfig, get: Callable[[str], np.ndarray]) -> Params:
    """Their weights as our parameters, f32.

    Args:
      get: a weight by its name, as they lay it out.

    Raises:
      InputError: a weight of another shape than the config says.
    """
    table = FAMILIES[family].weights
    params = {}
    for path, shape in _leaves(abstract_params(config)[0]):
        weight = table[path]
        if path.startswith("blocks/"):
            layers = [
                _ours(get(weight.name.format(n)), weight, shape.shape[1:], config)
                for n in range(config.layers)
            ]
            params[path] = np.stack(layers)
        else:
            theirs = _ours(get(weight.name), weight, _unpadded(path, config, shape.shape), config)
            spare = [(0, all_ - n) for n, all_ in zip(theirs.shape, shape.shape, strict=True)]
            params[path] = np.pad(theirs, spare)
    return _nested(params)


def write_params(family: str, config: DecoderConfig, params: Params) -> dict[str, np.ndarray]:
    """Our parameters as their weights: the inverse of `read_params`."""
    table, made = FAMILIES[family].weights, {}
    for path, value in _leaves(params):
        weight, value = table[path], np.asarray(value)
        if path.startswith("blocks/"):
            named = {weight.name.format(n): layer for n, layer in enumerate(value)}
        else:
            kept = tuple(slice(n) for n in _unpadded(path, config, value.shape))
            named = {weight.name: value[kept]}
        for name, one in named.items():
            made.setdefault(name, {})[weight.part] = weight, _theirs(one, weight, path, config)
    return {name: _joined(parts, config) for name, parts in made.items()}


def _unpadded(path: str, config: DecoderConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the vocabulary's padding."""
    axis = {"embedding": 0, "unembedding": 1, "unembedding_bias": 0}.get(path)
    return tuple(config.vocab_size if n == axis else size for n, size in enumerate(shape))


def _ours(
    value: np.ndarray, weight: Weight, shape: tuple[int, ...], config: DecoderConfig
) -> np.ndarray:
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
        turned, rest = np.split(value, [config.rotary_size], axis=-1)
        turned = turned.reshape(len(value), -1, 2).swapaxes(1, 2).reshape(turned.shape)
        value = np.concatenate([turned, rest], axis=-1)
    return value.reshape(shape)


def _theirs(value: np.ndarray, weight: Weight, path: str, config: DecoderConfig) -> np.ndarray:
    """A part of their weight, its outputs last."""
    if path.endswith(("bias", "scale", "shift")):
        return value.ravel()
    shape = value.shape
    if weight.layout == "interleaved":
        value = value.reshape(-1, shape[-1])
        turned, rest = np.split(value, [config.rotary_size], axis=-1)
        turned = turned.reshape(len(value), 2, -1).swapaxes(1, 2).reshape(turned.shape)
        value = np.concatenate([turned, rest], axis=-1)
    inputs = shape[:-1] if path.endswith("/out") else shape[:1]
    return value.reshape(np.prod(inputs), -1)


def _joined(parts: dict[int, tuple[Weight, np.ndarray]], config: DecoderConfig) -> np.ndarray:
    """Parts of one weight, as they lie in it."""
    weight, first = parts[0]
    groups = weight.groups or config.heads
    some = [parts[n][1].reshape(*first.shape[:-1], groups, -1) for n in sorted(parts)]
    value = np.stack(some, axis=-2).reshape(*first.shape[:-1], -1)
    return np.ascontiguousarray(value if weight.layout == "same" else value.T)
