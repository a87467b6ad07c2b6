"""OpenAI's Batch format, in and out."""

import json
import pathlib

import pytest

from codex_jax import InputError
from codex_jax.sample.batch_output import check_batch_output, write_batch_output
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.generate import generate


def batch_line(number, **body):
    body = {"prompt": f"def f{number}(x):\n", "max_tokens": 4} | body
    line = {"custom_id": f"c/{number}", "method": "POST", "url": "/v1/completions", "body": body}
    return json.dumps(line) + "\n"


@pytest.fixture
def batch(trained, tmp_path):
    path = tmp_path / "batch.jsonl"
    path.write_text(batch_line(0, n=2, stream=False, model="ours") + batch_line(1))
    paths = {
        "output": str(tmp_path / "out.jsonl"),
        "batch_output": str(tmp_path / "batch-out.jsonl"),
    }
    return trained | {"problems": str(path), **paths}


def read(path):
    return [json.loads(line) for line in pathlib.Path(path).open(encoding="utf-8")]


def test_a_line_for_each_request_in_order(batch):
    assert generate(**batch) == 2 + 3
    samples = {(s["task_id"], s["sample_index"]): s for s in read(batch["output"])}
    first, second = read(batch["batch_output"])
    assert (first["custom_id"], second["custom_id"]) == ("c/0", "c/1")
    assert first["error"] is None
    assert first["response"]["status_code"] == 200
    body = first["response"]["body"]
    assert (body["object"], body["model"]) == ("text_completion", "ours")
    assert second["response"]["body"]["model"] == "codex"
    assert [c["text"] for c in body["choices"]] == [
        samples["c/0", n]["completion"] for n in range(2)
    ]
    assert body["usage"]["completion_tokens"] == sum(samples["c/0", n]["tokens"] for n in range(2))
    assert len(second["response"]["body"]["choices"]) == 3


def test_written_again_from_a_finished_file(batch, tmp_path):
    generate(**batch)
    before = read(batch["batch_output"])
    (tmp_path / "batch-out.jsonl").unlink()
    generate(**batch)
    generate(**batch)
    after = read(batch["batch_output"])
    for line in before + after:
        line["response"]["body"].pop("created")
    assert after == before


def test_a_file_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "out.jsonl").write_text("")
    (tmp_path / "mine.txt").write_text("mine\n")
    request = Request("c", [1], ())
    with pytest.raises(InputError, match="set batch_output to a new file"):
        write_batch_output(tmp_path / "mine.txt", tmp_path / "out.jsonl", [request], {})
    assert (tmp_path / "mine.txt").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.jsonl", "as output is"),
        ("out.jsonl.job.json", "as output is"),
        ("mine.txt", "set batch_output to a new file"),
        ("mine.txt/x.jsonl", r"nothing can be created in .*mine\.txt .Not a directory.; set"),
        (".", "set batch_output to a new file"),
    ],
)
def test_a_path_is_checked_before_anything_is_sampled(tmp_path, name, message):
    (tmp_path / "mine.txt").write_text("mine\n")
    with pytest.raises(InputError, match=message):
        check_batch_output(tmp_path / name, tmp_path / "out.jsonl")
    check_batch_output(tmp_path / "new" / "batch.jsonl", tmp_path / "out.jsonl")


def test_streams_have_no_place_in_a_batch(batch, tmp_path):
    (tmp_path / "batch.jsonl").write_text(batch_line(0, stream=True))
    with pytest.raises(InputError, match="stream: expected false in a batch"):
        generate(**batch)
