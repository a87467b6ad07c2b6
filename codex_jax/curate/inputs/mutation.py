"""Changed copies of arguments: near enough to pass where they passed, far enough to branch."""

import random
from collections.abc import Sequence
from typing import Any

from codex_jax.curate.execution import Call

_LONGEST = 400


def mutate(call: Call, rng: random.Random, constants: Sequence[Any]) -> Call:
    """Returns a call with one argument changed; types stay as they are.

    Args:
      call: a call that the function answered.
      rng: source of chance.
      constants: literals of the function's own source, which often decide its branches.
    """
    arguments, named = list(call.arguments), dict(call.named)
    slots: list[Any] = [*range(len(arguments)), *named]
    if not slots:
        return call
    slot = rng.choice(slots)
    if isinstance(slot, int):
        arguments[slot] = change(arguments[slot], rng, constants)
    else:
        named[slot] = change(named[slot], rng, constants)
    return Call(tuple(arguments), named)


def change(value: Any, rng: random.Random, constants: Sequence[Any]) -> Any:
    """Returns another value of the same type."""
    same_type = [constant for constant in constants if type(constant) is type(value)]
    if same_type and rng.random() < 0.2:
        return rng.choice(same_type)
    if type(value) is bool:
        return not value
    if type(value) is int:
        return rng.choice((value + 1, value - 1, -value, value * 2, value // 2, value * 10, 0, 1))
    if type(value) is float:
        return rng.choice((value + 1, -value, value / 2, value * 10, round(value, 1), 0.0))
    if type(value) is str:
        return _change_text(value, rng, [c for c in same_type if len(c) < 20])
    if type(value) is bytes:
        return _change_text(value.decode("latin-1"), rng, []).encode("latin-1", "replace")
    if type(value) in (list, tuple):
        return type(value)(_change_items(list(value), rng, constants))
    if type(value) in (set, frozenset):
        return type(value)(_change_items(sorted(value, key=repr), rng, constants))
    if type(value) is dict:
        return _change_mapping(value, rng, constants)
    return value


def _change_text(text: str, rng: random.Random, constants: Sequence[str]) -> str:
    at = rng.randrange(len(text) + 1)
    until = rng.randrange(at, len(text) + 1)
    piece = rng.choice(
        [*constants, " ", "a", "Z", "0", "9", "-", "_", ".", ",", "\n", "/", ":", "é"]
    )
    return rng.choice(
        (
            text[:at] + piece + text[at:],
            text[:at] + text[until:],
            text[at:until],
            text + text[at:until],
            text[:at] + text[at:until].swapcase() + text[until:],
            text.upper(),
            text.lower(),
            text[::-1],
            piece + text,
            text + piece,
        )
    )[:_LONGEST]


def _change_items(items: list[Any], rng: random.Random, constants: Sequence[Any]) -> list[Any]:
    if not items:
        return items
    at = rng.randrange(len(items))
    changed = [*items[:at], change(items[at], rng, constants), *items[at + 1 :]]
    shuffled = rng.sample(items, len(items))
    choices = (changed, changed, items[::-1], items[:at], items[at:], [*items, items[at]], shuffled)
    return rng.choice(choices)[:40]


def _change_mapping(value: dict, rng: random.Random, constants: Sequence[Any]) -> dict:
    if not value:
        return {}
    key = rng.choice(list(value))
    rest = {k: v for k, v in value.items() if k != key}
    changed = {**value, key: change(value[key], rng, constants)}
    return rng.choice((changed, changed, rest, {change(key, rng, constants): value[key], **rest}))
