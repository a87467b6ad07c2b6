"""What a file asks to be sampled: problems, any JSON Lines with a prompt, or OpenAI's batches."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.records import Problem, open_text, parse_record
from codex_jax.sample import openai_schema
from codex_jax.sample.engine.requests import Request

# Fields that say what is sampled; those that say how it is told have no place in a file.
_OF_BATCHES = openai_schema.FIELDS.keys() - {
    "best_of",
    "stream",
    "stream_options",
    "logprobs",
    "echo",
}


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
        said = json.loads(line)
    except ValueError:
        said = None  # parse_record says what is wrong
    if isinstance(said, dict) and "custom_id" in said:
        return _of_batch(said, where, default)
    if isinstance(said, dict) and "task_id" not in said:
        line = json.dumps(said | {"task_id": str(number)})
    problem = parse_record(line, Problem, where=where)
    return Asked(problem, default._replace(name=problem.task_id))


def _of_batch(line: Mapping[str, Any], where: str, default: Request) -> Asked:
    name = line["custom_id"]
    if not isinstance(name, str):
        raise InputError(f"{where}: expected a string custom_id")
    if (url := line.get("url")) != "/v1/completions":
        raise InputError(f"{where}: url is {url!r}; expected '/v1/completions'")
    try:
        found = openai_schema.read(line.get("body"), _OF_BATCHES)
        if not isinstance(found["prompt"], str):
            raise openai_schema.FieldError("prompt: expected a string", "prompt")
        if found["max_tokens"] == 0:
            raise openai_schema.FieldError("max_tokens: expected 1 or more, found 0", "max_tokens")
    except openai_schema.FieldError as error:
        raise InputError(f"{where}: {error}") from None
    extra = {} if found["suffix"] is None else {"suffix": found["suffix"]}
    problem = Problem(task_id=name, prompt=found["prompt"], extra=extra)
    return Asked(problem, _request(name, found, default))


def _request(name: str, found: openai_schema.Fields, default: Request) -> Request:
    def given(field: str, otherwise: Any) -> Any:
        return otherwise if found[field] is None else found[field]

    return default._replace(
        name=name,
        samples=default.samples if found["n"] is None else range(found["n"]),
        policy=openai_schema.policy(found, default.policy),
        seed=given("seed", default.seed),
        new=given("max_tokens", default.new),
        stops=given("stop", default.stops),
    )
