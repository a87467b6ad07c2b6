"""MBR-exec (Shi et al., 2022): selects the sample whose outputs most other samples share.

Every program is called in the sandbox on the same inputs, which are generated from the examples of
the prompt or from its annotations. Programs whose outputs are equal on all inputs vote for one
another. Tests and reference solutions are not used.
"""

import ast
import collections
import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from codex_jax import records
from codex_jax.evaluate.metrics.selection import mbr_exec_scores

INPUTS = 16  # for each problem
_PREFIX = "outputs "  # of the digest, in the test's assertion message
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
    outputs = []
    for arguments in INPUTS:
        try:
            outputs.append(plain(candidate(*copy.deepcopy(arguments))))
        except Exception as error:
            outputs.append(["raised", type(error).__name__])
    raise AssertionError("outputs " + hashlib.sha256(json.dumps(outputs).encode()).hexdigest())
"""


def probe_problems(tasks: Mapping[str, records.Problem]) -> dict[str, records.Problem]:
    """Returns problems whose test only reports outputs, for the Python tasks that have inputs.

    No program passes them; the verdict's detail is a digest of all outputs.
    """
    probes = {}
    for name, problem in tasks.items():
        if problem.extra.get("mode"):
            continue
        if inputs := generate_inputs(problem):
            test = _TEST.format(inputs=repr(inputs))
            extra = {k: v for k, v in problem.extra.items() if k == "suffix"}
            probes[name] = records.Problem(
                task_id=name,
                prompt=problem.prompt,
                entry_point=problem.entry_point,
                test=test,
                canonical_solution="    return None\n",  # only determines which calls there will be
                extra=extra,
            )
    return probes


def vote_counts(
    samples: Sequence[records.Completion], verdicts: Mapping[tuple[str, int], records.Verdict]
) -> dict[tuple[str, int], float]:
    """Counts the samples with equal outputs, by (task_id, sample_index); 0 without outputs.

    Args:
      samples: the samples of all tasks.
      verdicts: the verdicts on the problems of `probe_problems`.
    """
    groups: dict[str, list[records.Completion]] = collections.defaultdict(list)
    for sample in samples:
        groups[sample.task_id].append(sample)
    counts = {}
    for group in groups.values():
        keys = [(sample.task_id, sample.sample_index) for sample in group]
        digests = [verdicts[key].detail if key in verdicts else "" for key in keys]
        votes = mbr_exec_scores([[digest] for digest in digests])
        for key, digest, count in zip(keys, digests, votes, strict=True):
            counts[key] = count if digest.startswith(_PREFIX) else 0.0
    return counts


def generate_inputs(
    problem: records.Problem, *, count: int = INPUTS, seeds: Sequence[list[Any]] = ()
) -> list[list[Any]]:
    """Returns argument lists: the prompt's examples, then mutations of them; deterministic.

    Args:
      problem: the problem, of which the prompt is read.
      count: most lists; a larger count only adds to those of a smaller one.
      seeds: the examples, if they are known already.
    """
    seeds = seeds or list(_examples(problem)) or list(_from_annotations(problem))
    rng = random.Random(problem.task_id)
    inputs = {repr(arguments): arguments for arguments in seeds[:count]}
    for _ in range(20 * count):
        if len(inputs) >= count or not seeds:
            break
        arguments = [_mutate(value, rng) for value in rng.choice(seeds)]
        inputs.setdefault(repr(arguments), arguments)
    return list(inputs.values())


def _examples(problem: records.Problem) -> Iterator[list[Any]]:
    """Yields the arguments of the calls that the prompt shows, where they are literals."""
    for match in re.finditer(rf"\b{re.escape(problem.entry_point)}\s*\(", problem.prompt):
        text = problem.prompt[match.start() :]
        for end in itertools.islice(re.finditer(r"\)", text), 12):
            try:
                call = ast.parse(text[: end.end()].strip(), mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            if isinstance(call, ast.Call) and not call.keywords:
                try:
                    arguments = [ast.literal_eval(argument) for argument in call.args]
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    break
                if arguments:
                    yield arguments
                break


_DEFAULT_ARGUMENTS: dict[str, Any] = {
    "int": 5,
    "float": 2.5,
    "str": "abcab",
    "bool": True,
    "list": [3, 1, 2],
    "List[int]": [3, 1, 2, 2],
    "List[float]": [1.5, 2.0, 0.5],
    "List[str]": ["b", "a", "abc"],
    "List[List[int]]": [[1, 2], [3]],
    "Dict[str, int]": {"a": 1},
}


def _from_annotations(problem: records.Problem) -> Iterator[list[Any]]:
    """Yields one default argument for each annotation; nothing if an annotation is unknown."""
    pattern = rf"^def\s+{re.escape(problem.entry_point)}\(.*?\).*?:$"
    heads = re.findall(pattern, problem.prompt, re.MULTILINE)
    if not heads:
        return
    try:
        arguments = ast.parse(heads[-1] + " pass").body[0].args.args
        texts = [ast.unparse(a.annotation) if a.annotation else "" for a in arguments]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    annotations = [text.replace("list[", "List[") for text in texts]
    if annotations and all(text in _DEFAULT_ARGUMENTS for text in annotations):
        yield [_DEFAULT_ARGUMENTS[text] for text in annotations]


def _mutate(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return rng.random() < 0.5
    if isinstance(value, int):
        return rng.choice([value, value + 1, max(0, value - 1), 2 * value, rng.randint(0, 30)])
    if isinstance(value, float):
        return rng.choice([value, value + 0.5, value / 2, round(rng.uniform(0, 20), 2)])
    if isinstance(value, str):
        return _mutate_items(list(value), rng, "".join)
    if isinstance(value, list | tuple):
        return _mutate_items([_mutate(item, rng) for item in value], rng, type(value))
    if isinstance(value, dict):
        return {_mutate(key, rng): _mutate(item, rng) for key, item in value.items()}
    return value


def _mutate_items(items: list, rng: random.Random, join: Callable[[list], Any]) -> Any:
    change = rng.randrange(5)
    if change == 0:
        rng.shuffle(items)
    elif change == 1 and items:
        items.pop(rng.randrange(len(items)))
    elif change == 2 and items:
        items.append(rng.choice(items))
    elif change == 3:
        items.reverse()
    return join(items)
