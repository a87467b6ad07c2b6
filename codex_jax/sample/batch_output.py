"""OpenAI's Batch output format: a line for each request, with all of its choices."""

import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.files import atomic_write, claim_file, has_text
from codex_jax.records import Completion, read_jsonl
from codex_jax.sample.engine.requests import Request

_MARK = '{"id": "batch_req_0", "custom_id": '  # of our first line; an id of OpenAI's is longer


def check_batch_output(path: pathlib.Path | str, completions: pathlib.Path | str) -> None:
    """Checks that a file can be written there, before anything is sampled.

    Raises:
      InputError: a path that holds something else, is the completions' own, or can't be written.
    """
    path = pathlib.Path(path)
    if path.absolute() in {pathlib.Path(completions).absolute(), _manifest_of(completions)}:
        raise InputError(f"batch_output is {path}, as output is; set it to another file")
    claim_file(path, has_text(_MARK), "batch_output")


def _manifest_of(completions: pathlib.Path | str) -> pathlib.Path:
    return pathlib.Path(f"{completions}.job.json").absolute()


def write_batch_output(
    path: pathlib.Path | str,
    completions: pathlib.Path | str,
    requests: Sequence[Request],
    models: Mapping[str, str],
) -> None:
    """Writes the samples of a finished completions file again, in the order of the requests.

    Args:
      path: A new file, or one that this function wrote.
      completions: JSON Lines of every sample of the requests.
      requests: With their tokens.
      models: The model's name in each request, by the request's id, where it has one.

    Raises:
      InputError: a path that holds something else.
    """
    samples: dict[str, dict[int, Completion]] = {request.id: {} for request in requests}
    for completion in read_jsonl(completions, Completion):
        if completion.task_id in samples:
            samples[completion.task_id][completion.sample_index] = completion
    lines = [
        _to_line(number, request, samples[request.id], models.get(request.id, "codex"))
        for number, request in enumerate(requests)
    ]
    claim_file(path, has_text(_MARK), "batch_output")
    atomic_write(path, "".join(json.dumps(line) + "\n" for line in lines))


def _to_line(
    number: int, request: Request, samples: Mapping[int, Completion], model: str
) -> dict[str, Any]:
    chosen = [samples[index] for index in request.samples]
    prompt_tokens, new_tokens = len(request.tokens), sum(sample.tokens or 0 for sample in chosen)
    body = {
        "id": f"cmpl-{number}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "text": sample.completion,
                "index": index,
                "logprobs": None,
                "finish_reason": sample.finish_reason,
            }
            for index, sample in enumerate(chosen)
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": new_tokens,
            "total_tokens": prompt_tokens + new_tokens,
        },
    }
    response = {"status_code": 200, "request_id": f"req-{number}", "body": body}
    return {
        "id": f"batch_req_{number}",
        "custom_id": request.id,
        "response": response,
        "error": None,
    }
