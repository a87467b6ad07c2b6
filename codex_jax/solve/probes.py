"""Probe inputs of a function, from its prompt alone: examples and annotations."""

import random
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

from codex_jax import records
from codex_jax.evaluate.metrics.mbr_exec import generate_inputs
from codex_jax.evaluate.select.prompts import Prompt

COUNT = 16
_LEVELS = 3  # of lists in lists


def make_probes(problem: records.Problem, annotation: str) -> list[Any]:
    """Returns distinct inputs, the prompt's examples first; none if its argument has no known type.

    They depend on the prompt alone, never on a test. Where the annotation is known, half of them
    at least are drawn for it: examples alone are often too alike to tell programs apart.
    """
    rng = random.Random(problem.prompt)
    prompt_only = records.Problem(
        task_id=problem.prompt, prompt=problem.prompt, entry_point=problem.entry_point
    )
    shown = [arguments[0] for arguments in generate_inputs(prompt_only) if len(arguments) == 1]
    draw = _drawer(annotation) or _drawer_like(shown)
    probes = {repr(value): value for value in shown[: COUNT // 2 if draw else COUNT]}
    for _ in range(20 * COUNT if draw else 0):
        if len(probes) >= COUNT or draw is None:
            break
        value = draw(rng)
        probes.setdefault(repr(value), value)
    return list(probes.values())


def make_calls(prompt: str, entry_point: str, annotations: Sequence[str]) -> list[list[Any]]:
    """Returns distinct argument lists, those of the prompt's examples first; it may be none.

    They depend on the prompt alone. Without examples they are drawn for the annotations, if all are
    known: an argument is a text, a number, a truth value, or a list, tuple or set of them.
    """
    reader = Prompt(prompt, prompt, entry_point)
    shown = [list(example.arguments) for example in reader.examples()]
    drawers = [_drawer(annotation) for annotation in annotations]
    drawn: list[list[Any]] = []
    if drawers and not shown:
        rng = random.Random(prompt)
        rows = ([draw(rng) if draw else None for draw in drawers] for _ in range(COUNT))
        drawn = list(rows) if all(drawers) else []
    lists = [*shown, *(drawn or reader.inputs(COUNT))]
    return list({repr(arguments): arguments for arguments in lists}.values())


Drawer = Callable[[random.Random], Any]


def draw_text(rng: random.Random) -> str:
    """Draws words of both cases, digits and punctuation, with runs of spaces."""
    words = []
    for _ in range(rng.randint(0, 24)):
        letters = rng.choices(
            string.ascii_letters + "aeiouAEIOUee" + string.digits, k=rng.randint(1, 9)
        )
        words.append("".join(letters) + rng.choice(["", "", "", "!", "?", ".", ",", "-"]))
    return rng.choice([" ", " ", " ", "  "]).join(words)


def draw_integer(rng: random.Random) -> int:
    """Draws an integer, mostly small."""
    return rng.choice([rng.randint(-30, 60), rng.randint(0, 12), rng.randint(-1000, 1000)])


_SCALARS: dict[str, Drawer] = {
    "str": draw_text,
    "int": draw_integer,
    "float": lambda rng: round(rng.uniform(-50, 50), rng.randint(0, 3)),
    "bool": lambda rng: rng.random() < 0.5,
}
_SEQUENCES: dict[str, Callable[[list], Any]] = {"list": list, "tuple": tuple, "set": set}


def _drawer(annotation: str, levels: int = _LEVELS) -> Drawer | None:
    """Returns a function that draws values of an annotation; None for one that isn't known.

    Each level of lists has up to 28 times as many values: more than `levels` aren't known.
    """
    text = annotation.replace(" ", "").replace("typing.", "").strip("'\"")
    if text in _SCALARS:
        return _SCALARS[text]
    match = re.fullmatch(r"([Ll]ist|[Tt]uple|[Ss]et|[Ss]equence)\[(.*)\]", text)
    if not match or not levels:
        return None
    item = _drawer(match[2].removesuffix(",..."), levels - 1)
    make = _SEQUENCES.get(match[1].lower(), list)
    if item is None or (make is set and match[2] not in _SCALARS):  # members must be hashable
        return None

    def draw(rng: random.Random) -> Any:
        values = [item(rng) for _ in range(rng.randint(0, 24))]
        return make(values + (rng.choices(values, k=min(4, len(values))) if values else []))

    return draw


def _drawer_like(shown: list[Any]) -> Drawer | None:
    """Returns a drawer for the type that all values share, where it is a plain one."""
    names = {type(value).__name__ for value in shown}
    if len(names) != 1:
        return None
    (name,) = names
    if name in _SCALARS:
        return _SCALARS[name]
    items = {type(item).__name__ for value in shown if isinstance(value, list) for item in value}
    return _drawer(f"list[{items.pop()}]") if name == "list" and len(items) == 1 else None
