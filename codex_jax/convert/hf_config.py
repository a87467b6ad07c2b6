"""Conversion of foreign configs to ours and back, by the tables of `families`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.convert.families import FAMILIES
from codex_jax.convert.families.table import EnumField, FractionOfHead, Scales, SlidingWindow
from codex_jax.convert.foreign_config import ForeignConfig
from codex_jax.convert.positions import (
    flatten_rope,
    read_scaling,
    read_window,
    write_scaling,
    write_window,
)
from codex_jax.model.config import DecoderConfig

_REQUIRED = ("vocab_size", "layers", "width", "heads", "intermediate_size", "feed_forward_length")
_SIZES = ("kv_heads", "head_size", "mlp_size")
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(DecoderConfig)
    if field.default is not dataclasses.MISSING
}


def read_config(family: str, foreign: Mapping[str, Any]) -> DecoderConfig:
    """Converts a foreign config; keys that are missing have the family's defaults.

    Raises:
      InputError: a family without a table, a value without a name of ours, or a key that no row of
        the table reads and that may change logits.
    """
    config, rope = _open(family, foreign)
    fields: dict[str, Any] = {}
    for field, key in FAMILIES[family].fields.items():
        value = _read_field(key, config, fields)
        if value is not None:
            fields[field] = _cast(field, key, value)
        elif field in _REQUIRED or key in _REQUIRED:
            raise InputError(f"config has no {key}; add it")
    if FAMILIES[family].has_rope_scaling:
        scaling = read_scaling(rope, fields["max_length"])
        fields |= {field: _cast(field, "rope_scaling", x) for field, x in scaling.items()}
    FAMILIES[family].scales(config, fields)  # reads its keys
    config.check_unread()
    return DecoderConfig(**fields)


def read_scales(family: str, foreign: Mapping[str, Any]) -> Scales:
    """Factors of our parameters by path, for constants of the foreign config that we lack."""
    fields = dataclasses.asdict(read_config(family, foreign))
    return FAMILIES[family].scales(_open(family, foreign)[0], fields)


def _open(family: str, foreign: Mapping[str, Any]) -> tuple[ForeignConfig, dict[str, Any]]:
    """(config, the keys of its rope_scaling)."""
    if family not in FAMILIES:
        names = ", ".join(sorted(FAMILIES))
        raise InputError(f"model of family {family!r}; expected one of {names}")
    table = FAMILIES[family]
    rope: dict[str, Any] = {}
    if table.has_rope_scaling:
        foreign, rope = flatten_rope(foreign, table.fields["rotary_base"])
    return ForeignConfig(family, table, foreign), rope


def _cast(field: str, key: Any, value: Any) -> Any:
    """The value in the field's type; JSON writes some floats as integers.

    Raises:
      InputError: a value of another type.
    """
    default = _DEFAULTS.get(field, 0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, float) and is_number:
        return float(value)
    if field in _SIZES and value == 0:  # with us that is a default
        raise InputError(f"config has {key} = 0; expected 1 or more")
    if type(value) is not type(default):
        raise InputError(f"config has {key} = {str(value)[:60]}; expected {type(default).__name__}")
    return value


def _read_field(key: Any, foreign: ForeignConfig, fields: Mapping[str, Any]) -> Any:
    """The value of a field, or None if its key is missing; `fields` are those read before it."""
    if isinstance(key, EnumField):
        return _map_enum(key, foreign)
    if isinstance(key, SlidingWindow):
        return read_window(key, foreign, fields)
    if isinstance(key, FractionOfHead):
        fraction = foreign.get(key.name)
        return None if fraction is None else round(fraction * (fields["width"] // fields["heads"]))
    return key[0] if isinstance(key, tuple) else foreign.get(key)


def _map_enum(key: EnumField, foreign: ForeignConfig) -> Any:
    value = foreign.get(key.name)
    if value is None:
        value = next(iter(key.to_ours))
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
    if FAMILIES[family].has_rope_scaling:
        foreign |= write_scaling(config)
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
        names = " or ".join(map(repr, dict.fromkeys(key.to_ours.values())))
        raise InputError(f"DecoderConfig.{field} is {value!r}; {family} has {names}")
    if isinstance(key, FractionOfHead):
        return {key.name: value / config.head_size}
    if isinstance(key, SlidingWindow):
        return write_window(key, config)
    if not isinstance(key, tuple):
        return {key: value}
    if value != key[0]:
        raise InputError(f"DecoderConfig.{field} is {value!r}; {family} always has {key[0]!r}")
    return {}
