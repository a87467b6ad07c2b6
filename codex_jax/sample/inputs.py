"""Input files of `codex-jax sample`: problems, any JSON Lines with a prompt, OpenAI's batches."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.records import Problem, parse_object, parse_record, read_lines
from codex_jax.sample import openai_schema
from codex_jax.sample.engine.requests import Request

# Fields that determine the samples; those that determine the form of a response don't apply.
_BATCH_FIELDS = openai_schema.FIELDS.keys() - {
    "best_of",
    "stream_options",
    "logprobs",
    "echo",
}


class InputLine(NamedTuple):
    """A problem, and its request, whose prompt isn't tokenized yet."""

    problem: Problem
    request: Request


def read_inputs(path: pathlib.Path | str, default: Request) -> list[InputLine]:
    """Reads every line; a batch line's absent fields are taken from `default`.

    A batch line is {"custom_id", "url": "/v1/completions", "body": {"prompt", ...}}; the task_id of
    a line without one is its number.

    Raises:
      InputError: no such file, no lines, a malformed line, an unsupported field of a body, or
        one task_id twice.
    """
    parsed = [_parse_line(line, where, default) for where, line in read_lines(path, "Problems")]
    if not parsed:
        raise InputError(f"{path}: no problems in it; expected JSON Lines with task_id and prompt")
    _check_task_ids(parsed, path)
    return parsed


def _check_task_ids(lines: list[InputLine], path: pathlib.Path | str) -> None:
    task_ids = set()
    for problem, _ in lines:
        if problem.task_id in task_ids:
            raise InputError(f"{path}: task_id {problem.task_id} occurs twice; make them differ")
        task_ids.add(problem.task_id)


def _parse_line(line: str, where: str, default: Request) -> InputLine:
    fields = parse_object(line, where)
    if "custom_id" in fields:
        return _parse_batch_line(fields, where, default)
    task_id = fields.get("task_id", int(where.rpartition(":")[2]))
    if type(task_id) is int:  # as MBPP numbers its problems
        line = json.dumps(fields | {"task_id": str(task_id)})
    problem = parse_record(line, Problem, where=where)
    return InputLine(problem, default._replace(id=problem.task_id))


def _parse_batch_line(line: Mapping[str, Any], where: str, default: Request) -> InputLine:
    task_id = line["custom_id"]
    if not isinstance(task_id, str):
        raise InputError(f"{where}: expected a string custom_id")
    if (url := line.get("url")) != "/v1/completions":
        raise InputError(f"{where}: url is {url!r}; expected '/v1/completions'")
    try:
        fields = openai_schema.parse_body(line.get("body"), _BATCH_FIELDS)
        if not isinstance(fields["prompt"], str):
            raise openai_schema.FieldError("prompt: expected a string", "prompt")
        if fields["stream"]:
            raise openai_schema.FieldError("stream: expected false in a batch", "stream")
        if fields["max_tokens"] == 0:
            raise openai_schema.FieldError("max_tokens: expected 1 or more, found 0", "max_tokens")
    except openai_schema.FieldError as error:
        raise InputError(f"{where}: {error}") from None
    extra = {name: fields[name] for name in ("suffix", "model") if fields[name] is not None}
    problem = Problem(task_id=task_id, prompt=fields["prompt"], extra=extra)
    return InputLine(problem, _to_request(task_id, fields, default))


def _to_request(task_id: str, fields: openai_schema.Fields, default: Request) -> Request:
    changes = {"seed": "seed", "max_tokens": "max_new_tokens", "stop": "stops"}
    values = {new: fields[old] for old, new in changes.items() if fields[old] is not None}
    if fields["n"] is not None:
        values["samples"] = range(fields["n"])
    sampling_params = openai_schema.sampling_params(fields, default.sampling_params)
    return default._replace(id=task_id, sampling_params=sampling_params, **values)
