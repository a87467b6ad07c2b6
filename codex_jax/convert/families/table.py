"""Forms of a foreign family's table: names of fields and weights, layouts, and defaults."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

# Factors of our parameters, by path; an array has one a layer.
Scales = Mapping[str, float | np.ndarray]


class Weight(NamedTuple):
    """A foreign weight that holds a parameter of ours.

    Attributes:
      name: in the checkpoint; {} is the layer.
      layout: "same" (ours, reshaped), "transposed" (torch's Linear: out × in), "interleaved"
        (transposed, with the numbers of each rotary pair adjacent, as in GPT-J and GGUF), or
        "minus 1" (ours less 1, as Gemma stores its norms).
      part: index of our parameter among the outputs, where several share a weight.
      parts: number of parameters in the weight (GPT-2 stores q, k and v in one).
      groups: number of groups of outputs, each split into parts; 0 means a group per head.
    """

    name: str
    layout: str = "transposed"
    part: int = 0
    parts: int = 1
    groups: int = 1


class EnumField(NamedTuple):
    """A key and our names of its values; the first value is the default."""

    name: str
    to_ours: Mapping[Any, Any]


class FractionOfHead(NamedTuple):
    """A key whose value is a fraction of the head size."""

    name: str


class SlidingWindow(NamedTuple):
    """The key of a sliding window's length, and of whether it is in use (Qwen) if there is one."""

    name: str
    switch: str = ""


class AnyValue:
    """A collection that contains every value."""

    def __contains__(self, value: Any) -> bool:
        return True


ANY = AnyValue()


def scale_nothing(foreign: Any, fields: Mapping[str, Any]) -> Scales:
    """No factors."""
    del foreign, fields
    return {}


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
      fields: for each of our config's fields, the foreign key (a string, EnumField,
        FractionOfHead or SlidingWindow), or a tuple with its constant value.
      weights: for each of our parameters, by path, the foreign weight.
      defaults: values of keys that a config may lack.
      harmless: values at which a key that no field reads changes nothing.
      aliases: other names of keys.
      scales: from (foreign config, our fields), factors by which our parameters are multiplied, so
        that they compute what the foreign model does with constants that we lack.
    """

    fields: dict[str, Any]
    weights: dict[str, Weight]
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    harmless: dict[str, Any] = dataclasses.field(default_factory=dict)
    aliases: dict[str, str] = dataclasses.field(default_factory=dict)
    scales: Callable[[Any, Mapping[str, Any]], Scales] = scale_nothing

    @property
    def has_rope_scaling(self) -> bool:
        """Whether its rotary frequencies can be scaled."""
        return isinstance(self.fields.get("rotary_base"), str)


def same(name: str, part: int = 0, parts: int = 1) -> Weight:
    """A weight in our layout."""
    return Weight(name, "same", part, parts)


_GELUS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",
    "gelu": "gelu_exact",
    "gelu_python": "gelu_exact",
    "quick_gelu": "quick_gelu",
}


def gelu_field(name: str, default: str) -> EnumField:
    """A key with the name of a GELU."""
    return EnumField(name, {default: _GELUS[default]} | _GELUS)
