"""Foreign spellings of scaled rotary positions and of sliding windows, read and written."""

import math
from collections.abc import Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.convert.families.table import SlidingWindow
from codex_jax.convert.foreign_config import ForeignConfig
from codex_jax.model.config import DecoderConfig


def flatten_rope(values: Mapping[str, Any], base_key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config without rope_scaling and rope_parameters, the scaling's keys).

    Transformers 5 has the base and the rotated fraction among rope_parameters.

    Args:
      values: a config.json.
      base_key: the family's key of the base.

    Raises:
      InputError: a scaling that is no object.
    """
    flat = dict(values)
    parameters, scaling = flat.pop("rope_parameters", None), flat.pop("rope_scaling", None)
    rope = scaling or parameters or {}
    if not isinstance(rope, dict):
        raise InputError(f"config has rope_scaling = {str(rope)[:60]}; expected an object")
    rope = (parameters if isinstance(parameters, dict) else {}) | rope
    base, fraction = rope.pop("rope_theta", None), rope.pop("partial_rotary_factor", None)
    if base is not None:
        flat[base_key] = base
    if fraction is not None:
        flat["partial_rotary_factor"] = fraction
    return flat, rope


def read_scaling(rope: Mapping[str, Any], max_length: int) -> dict[str, Any]:
    """Our fields of a rope_scaling.

    Args:
      rope: its keys.
      max_length: the model's, which counts where the original length is missing.

    Raises:
      InputError: a scaling without a name of ours, or a key that we don't read.
    """
    keys = {name: value for name, value in rope.items() if value is not None}
    names = [keys.pop(name) for name in ("rope_type", "type") if name in keys]
    name = next(iter(names), "default")
    if name not in _READERS:
        raise InputError(
            f"config scales rotary positions by {name!r}; expected one of "
            f"{', '.join(_READERS)}: import another model"
        )
    if name != "default" and not _is_number(keys.get("factor")):
        raise InputError(f"config's rope_scaling of type {name!r} has no factor; add it")
    original = keys.pop("original_max_position_embeddings", max_length)
    fields = _READERS[name](keys, original)
    keys.pop("finetuned", None)
    if keys:
        raise InputError(
            f"config's rope_scaling of type {name!r} has {', '.join(sorted(keys))}, which we don't "
            "compute; import another model"
        )
    return fields


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _read_default(keys: dict[str, Any], original: int) -> dict[str, Any]:
    del original
    if keys.get("factor") == 1:
        del keys["factor"]
    return {}


def _read_linear(keys: dict[str, Any], original: int) -> dict[str, Any]:
    del original
    return {"rotary_scaling": "linear", "rotary_factor": keys.pop("factor")}


def _read_llama3(keys: dict[str, Any], original: int) -> dict[str, Any]:
    return {
        "rotary_scaling": "llama3",
        "rotary_factor": keys.pop("factor"),
        "rotary_original_length": original,
        "rotary_slow": keys.pop("low_freq_factor", 1.0),
        "rotary_fast": keys.pop("high_freq_factor", 4.0),
    }


def _read_yarn(keys: dict[str, Any], original: int) -> dict[str, Any]:
    factor, magnitude = keys.pop("factor"), keys.pop("attention_factor", None)
    numerator, denominator = keys.pop("mscale", None), keys.pop("mscale_all_dim", None)
    if magnitude is None and numerator and denominator:
        magnitude = yarn_magnitude(factor, numerator) / yarn_magnitude(factor, denominator)
    if keys.get("truncate") is True:
        del keys["truncate"]
    return {
        "rotary_scaling": "yarn",
        "rotary_factor": factor,
        "rotary_original_length": original,
        "rotary_slow": keys.pop("beta_slow", 1.0),
        "rotary_fast": keys.pop("beta_fast", 32.0),
        "rotary_magnitude": yarn_magnitude(factor) if magnitude is None else magnitude,
    }


def yarn_magnitude(factor: float, scale: float = 1.0) -> float:
    """The attention factor that YaRN's authors found (section 3.4)."""
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


_READERS = {
    "default": _read_default,
    "linear": _read_linear,
    "llama3": _read_llama3,
    "yarn": _read_yarn,
}


def write_scaling(config: DecoderConfig) -> dict[str, Any]:
    """The rope_scaling of a config of ours; empty without scaling."""
    if config.rotary_scaling == "none":
        return {}
    rope = {"rope_type": config.rotary_scaling, "factor": config.rotary_factor}
    length = {"original_max_position_embeddings": config.rotary_original_length}
    slow, fast = config.rotary_slow, config.rotary_fast
    if config.rotary_scaling == "llama3":
        rope |= length | {"low_freq_factor": slow, "high_freq_factor": fast}
    if config.rotary_scaling == "yarn":
        rope |= length | {"beta_slow": slow, "beta_fast": fast}
        rope |= {"attention_factor": config.rotary_magnitude}
    return {"rope_scaling": rope}


def read_window(key: SlidingWindow, foreign: ForeignConfig, fields: Mapping[str, Any]) -> int:
    """Tokens that each token sees; 0 if the window is longer than any text.

    Raises:
      InputError: a window in some of the layers only.
    """
    window, layers = foreign.get(key.name), fields["layers"]
    types = foreign.get("layer_types")
    if key.switch:
        first = foreign.get("max_window_layers")
        if not foreign.get(key.switch):
            window, types = None, None
        elif types is None:
            types = ["sliding_attention" if n >= first else "full_attention" for n in range(layers)]
    if not window or window >= fields["max_length"]:
        return 0
    distinct = set(types or ["sliding_attention"])
    if distinct == {"full_attention"}:
        return 0
    if distinct != {"sliding_attention"}:
        raise InputError(
            f"config has a {key.name} of {window} in a part of its layers; expected it in all or "
            "none: import another model"
        )
    return window


def write_window(key: SlidingWindow, config: DecoderConfig) -> dict[str, Any]:
    """The foreign keys of our window."""
    window = config.window or None
    if not key.switch:
        return {key.name: window}
    first = 0 if window else config.layers
    return {key.switch: bool(window), key.name: window, "max_window_layers": first}
