"""What a file asks to be sampled: problems, any JSON Lines with a prompt, or OpenAI's batches."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.records import Problem, open_text, parse_record
from codex_jax.sample.policy import Policy
from codex_jax.sample.requests import Request

_OF_POLICY = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias")
_NUMBERS = {"n": int, "max_tokens": int, "seed": int} | dict.fromkeys(_OF_POLICY[:4], (int, float))
_KNOWN = {"model", "prompt", "suffix", "stop", "user", "logit_bias", *_NUMBERS}


class Asked(NamedTuple):
    """A problem, and its request, whose prompt isn't tokens yet."""

    problem: Problem
    request: Request


def read(path: pathlib.Path | str, default: Request) -> list[Asked]:
    """Every line's problem; what a line of a batch doesn't say is as `default` has it.

    A line of a batch is {"custom_id", "url": "/v1/completions", "body": {"prompt", ...}}; a line
    without task_id is called by its number.

    Raises:
      InputError: no such file, a malformed line, or a field of a body that isn't supported.
    """
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path}: no such file; expected JSON Lines of Problems")
    asked = []
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                asked.append(_read_line(line, number, f"{path}:{number}", default))
    return asked


def _read_line(line: str, number: int, where: str, default: Request) -> Asked:
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None  # parse_record says what is wrong
    if isinstance(fields, dict) and "custom_id" in fields:
        return _of_batch(fields, where, default)
    if isinstance(fields, dict) and "task_id" not in fields:
        line = json.dumps(fields | {"task_id": str(number)})
    problem = parse_record(line, Problem, where=where)
    return Asked(problem, default._replace(name=problem.task_id))


def _of_batch(fields: Mapping[str, Any], where: str, default: Request) -> Asked:
    name, body = fields["custom_id"], fields.get("body")
    if not isinstance(name, str) or not isinstance(body, dict):
        raise InputError(f"{where}: expected a string custom_id and an object body")
    if (url := fields.get("url")) != "/v1/completions":
        raise InputError(f"{where}: url is {url!r}; expected '/v1/completions'")
    _check_body(body, where)
    extra = {} if body.get("suffix") is None else {"suffix": body["suffix"]}
    said = {key: value for key, value in body.items() if value is not None}
    problem = Problem(task_id=name, prompt=body["prompt"], extra=extra)
    return Asked(problem, _request(name, said, default))


def _check_body(body: Mapping[str, Any], where: str) -> None:
    if unknown := sorted(body.keys() - _KNOWN):
        raise InputError(
            f"{where}: body has {', '.join(unknown)}; expected some of {', '.join(sorted(_KNOWN))}"
        )
    if not isinstance(body.get("prompt"), str):
        raise InputError(f"{where}: body lacks a prompt that is a string")
    for key, kind in _NUMBERS.items():
        value = body.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise InputError(f"{where}: {key} is {value!r}; expected a number")
    for key in ("n", "max_tokens"):
        if body.get(key, 1) is not None and body.get(key, 1) < 1:
            raise InputError(f"{where}: {key} is {body[key]}; expected 1 or more")
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        raise InputError(f"{where}: stop is {stop!r}; expected a string or some")
    bias = body.get("logit_bias") or {}
    if not isinstance(bias, dict) or not all(token.isdecimal() for token in bias):
        raise InputError(f"{where}: logit_bias is {bias!r}; expected biases by token")


def _request(name: str, said: Mapping[str, Any], default: Request) -> Request:
    given = {key: said[key] for key in _OF_POLICY if key in said}
    if "logit_bias" in given:
        given["logit_bias"] = {int(token): bias for token, bias in given["logit_bias"].items()}
    policy = default.policy
    whole = {field: getattr(policy, field) for field in Policy.__dataclass_fields__}
    stop = said.get("stop", default.stops)
    return default._replace(
        name=name,
        samples=range(said["n"]) if "n" in said else default.samples,
        policy=Policy(**whole | given) if given else policy,
        seed=said.get("seed", default.seed),
        new=said.get("max_tokens", default.new),
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
    )
