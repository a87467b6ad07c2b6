"""More cases of a contest: mutated inputs on which right programs agree and a wrong one differs."""

import random
import re
from collections.abc import Sequence
from typing import Any

from codex_jax.curate.contests import judging
from codex_jax.curate.execution import Session
from codex_jax.curate.inputs import mutation

_TOKEN = re.compile(r"-?\d+|[A-Za-z]+")


def grow_cases(
    session: Session,
    right: Sequence[str],
    wrong: Sequence[str],
    entry_point: str,
    cases: Sequence[judging.Case],
    *,
    most: int,
    rng: random.Random,
) -> list[judging.Case]:
    """Returns up to `most` new cases; none if there is no wrong program to tell apart."""
    if not cases or not wrong or len(right) < 2:
        return []
    keys = {repr(value) for value, _ in cases}
    inputs = []
    for _ in range(8 * most):
        value = mutate_input(rng.choice(cases)[0], rng)
        if repr(value) not in keys:
            keys.add(repr(value))
            inputs.append(value)
    columns = [judging.outputs(session, source, entry_point, inputs) for source in right]
    others = [judging.outputs(session, source, entry_point, inputs) for source in wrong]
    grown = []
    for index, value in enumerate(inputs):
        first, *rest = [column[index] for column in columns]
        agrees = first is not None and all(judging.is_same(first, answer) for answer in rest)
        if agrees and any(not judging.is_same(first, column[index]) for column in others):
            grown.append((value, first))
    return grown[:most]


def mutate_input(value: Any, rng: random.Random) -> Any:
    """Returns a changed input; a text keeps its lines, as their number is often stated in it."""
    if not isinstance(value, str):
        return [mutation.change(argument, rng, []) for argument in value]
    tokens = list(_TOKEN.finditer(value))
    if not tokens:
        return value
    for token in sorted(rng.sample(tokens, min(len(tokens), rng.choice((1, 1, 2, 3)))), key=_end):
        text = token[0]
        changed = _change_token(text, [t[0] for t in tokens], rng)
        if len(changed) == len(text) or token is tokens[-1] or rng.random() < 0.5:
            end = token.end()
            value = value[: token.start()] + changed + value[end:]
            break
    return value


def _end(token: re.Match[str]) -> int:
    return -token.end()


def _change_token(text: str, texts: Sequence[str], rng: random.Random) -> str:
    if text.lstrip("-").isdigit():
        number = int(text)
        same = [other for other in texts if other.lstrip("-").isdigit()]
        return rng.choice((str(number + 1), str(max(0, number - 1)), str(2 * number), *same[:4]))
    letters = list(text)
    rng.shuffle(letters)
    return rng.choice(("".join(letters), text[::-1], text[:1] * len(text), text.swapcase()))
