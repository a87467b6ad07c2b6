"""Choosing the sample that most others agree with (MBR-exec, Shi et al., 2022).

Every program is called in the sandbox on the same inputs, which nobody gave answers to: they are
made from the examples of the prompt, or from its annotations. Programs whose answers are equal on
all of them vote for one another. Neither tests nor reference solutions have a part in it.
"""

import ast
import collections
import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codex_jax import records
from codex_jax.evaluate.metrics.selection import agreement

INPUTS = 16  # for each problem
_SIGN = "outputs "
_TEST = """
import copy, hashlib, json
INPUTS = {inputs}

def plain(value, depth=0):
    if isinstance(value, (set, frozenset)):
        return ["set", *sorted(map(repr, value))]
    if isinstance(value, dict) and depth < 50:
        return ["dict", *([repr(k), plain(v, depth + 1)] for k, v in value.items())]
    if isinstance(value, (list, tuple)) and depth < 50:
        return [type(value).__name__, *(plain(item, depth + 1) for item in value)]
    if isinstance(value, float):
        return "float %.9g" % value
    return type(value).__name__ + " " + repr(value)

def check(candidate):
    found = []
    for given in INPUTS:
        try:
            found.append(plain(candidate(*copy.deepcopy(given))))
        except Exception as error:
            found.append(["raised", type(error).__name__])
    raise AssertionError("outputs " + hashlib.sha256(json.dumps(found).encode()).hexdigest())
"""


def asking(tasks: Mapping[str, records.Problem]) -> dict[str, records.Problem]:
    """For each Python problem inputs can be made for: one whose test only tells what was answered.

    It never passes; the verdict's detail is a digest of all answers.
    """
    found = {}
    for name, problem in tasks.items():
        if problem.extra.get("mode"):
            continue
        if inputs := generated(problem):
            test = _TEST.format(inputs=repr(inputs))
            extra = {k: v for k, v in problem.extra.items() if k == "suffix"}
            found[name] = records.Problem(
                task_id=name,
                prompt=problem.prompt,
                entry_point=problem.entry_point,
                test=test,
                canonical_solution="    return None\n",  # only says which calls there will be
                extra=extra,
            )
    return found


def scores(
    samples: Sequence[records.Completion], answers: Mapping[tuple[str, int], records.Verdict]
) -> dict[tuple[str, int], float]:
    """(task_id, sample_index) -> with how many samples it agrees; 0 where it didn't answer.

    Args:
      answers: verdicts of the problems of `asking`.
    """
    groups: dict[str, list[records.Completion]] = collections.defaultdict(list)
    for sample in samples:
        groups[sample.task_id].append(sample)
    found = {}
    for group in groups.values():
        keys = [(sample.task_id, sample.sample_index) for sample in group]
        said = [answers[key].detail if key in answers else "" for key in keys]
        answered = [text.startswith(_SIGN) for text in said]
        for key, votes, good in zip(keys, agreement([[s] for s in said]), answered, strict=True):
            found[key] = votes if good else 0.0
    return found


def generated(problem: records.Problem, *, count: int = INPUTS) -> list[list[Any]]:
    """Argument lists: the prompt's own examples, then variations of them, the same every time."""
    seeds = list(_examples(problem)) or list(_from_annotations(problem))
    rng = random.Random(problem.task_id)
    found = {json.dumps(repr(given)): given for given in seeds[:count]}
    for _ in range(20 * count):
        if len(found) >= count or not seeds:
            break
        given = [_varied(value, rng) for value in rng.choice(seeds)]
        found.setdefault(json.dumps(repr(given)), given)
    return list(found.values())


def _examples(problem: records.Problem) -> Iterator[list[Any]]:
    """Calls of the function that the prompt shows, as far as their arguments are literals."""
    for match in re.finditer(rf"\b{re.escape(problem.entry_point)}\s*\(", problem.prompt):
        text = problem.prompt[match.start() :]
        for end in itertools.islice(re.finditer(r"\)", text), 12):
            try:
                call = ast.parse(text[: end.end()].strip(), mode="eval").body
            except (SyntaxError, ValueError):
                continue
            if isinstance(call, ast.Call) and not call.keywords:
                try:
                    given = [ast.literal_eval(argument) for argument in call.args]
                except (ValueError, TypeError):
                    break
                if given:
                    yield given
                break


_OF_KIND: dict[str, list[Any]] = {
    "int": [5],
    "float": [2.5],
    "str": ["abcab"],
    "bool": [True],
    "list": [[3, 1, 2]],
    "List[int]": [[3, 1, 2, 2]],
    "List[float]": [[1.5, 2.0, 0.5]],
    "List[str]": [["b", "a", "abc"]],
    "List[List[int]]": [[[1, 2], [3]]],
    "Dict[str, int]": [{"a": 1}],
}


def _from_annotations(problem: records.Problem) -> Iterator[list[Any]]:
    """An argument of each annotated kind; nothing where one isn't known."""
    pattern = rf"^def\s+{re.escape(problem.entry_point)}\(.*?\).*?:$"
    heads = re.findall(pattern, problem.prompt, re.MULTILINE)
    if not heads:
        return
    try:
        arguments = ast.parse(heads[-1] + " pass").body[0].args.args  # type: ignore[attr-defined]
    except SyntaxError:
        return
    kinds = [ast.unparse(a.annotation) if a.annotation else "" for a in arguments]
    if kinds and all(kind.replace("list[", "List[") in _OF_KIND for kind in kinds):
        yield [_OF_KIND[kind.replace("list[", "List[")][0] for kind in kinds]


def _varied(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return rng.random() < 0.5
    if isinstance(value, int):
        return rng.choice([value, value + 1, max(0, value - 1), 2 * value, rng.randint(0, 30)])
    if isinstance(value, float):
        return rng.choice([value, value + 0.5, value / 2, round(rng.uniform(0, 20), 2)])
    if isinstance(value, str):
        return _shuffled(list(value), rng, "".join)
    if isinstance(value, list | tuple):
        kind = type(value)
        return _shuffled([_varied(item, rng) for item in value], rng, kind)
    if isinstance(value, dict):
        return {_varied(key, rng): _varied(item, rng) for key, item in value.items()}
    return value


def _shuffled(items: list, rng: random.Random, whole: Any) -> Any:
    change = rng.randrange(5)
    if change == 0:
        rng.shuffle(items)
    elif change == 1 and items:
        items.pop(rng.randrange(len(items)))
    elif change == 2 and items:
        items.append(rng.choice(items))
    elif change == 3:
        items.reverse()
    return whole(items)
