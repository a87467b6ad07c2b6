"""solve by helpers from end to end, with known samples and the real sandbox."""

import json
import pathlib

import pytest

from codex_jax import InputError
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.records import Completion, Problem, read_jsonl, write_jsonl
from codex_jax.solve import sampling
from codex_jax.solve import solve as solving
from codex_jax.solve.outlines import read_outline
from tests.solve.test_outlines import CALLER, EVEN, FUNCTION, PROMPT, SUM

ASKED = PROMPT + "    def "
PLAIN = 'def plain(n: int):\n    """Returns n.\n\n    >>> plain(2)\n    2\n    """\n'
FAILING = PLAIN.replace("plain", "failing")
FAR = PLAIN.replace("plain", "far")
TYPE = PLAIN.replace("plain", "node").replace("int", "Node").replace("    >>> node(2)\n    2\n", "")
LIST = 'def listed(s: str):\n    """Do:\n    - reverse it\n    - sort it\n    """\n'
HELPER = '    def helper(n):\n        """{}."""\n        return n\n\n    return helper(n)\n'
OUTLINE = read_outline(FUNCTION, EVEN + SUM + CALLER)
SAMPLES = {
    PROMPT: ["    return 1\n", EVEN + SUM + CALLER],
    ASKED: [(EVEN + SUM + CALLER).lstrip().removeprefix("def "), "f(:\n"],
    OUTLINE["is_even"].prompt: ["    return v % 2 == 0\n", "    import os\n    os._exit(0)\n"],
    OUTLINE["total"].prompt: ["    return sum(values)\n"] * 2,
    PLAIN: ["    return n\n"] * 2,
    FAILING: [HELPER.format("Doubles n").replace("helper", "double"), "    return n\n"],
    FAR: [HELPER.format("Is very, " + "very " * 40 + "far"), "    return n\n"],
}


PROMPTS = {
    "weigh": PROMPT,
    "plain": PLAIN,
    "failing": FAILING,
    "far": FAR,
    "node": TYPE,
    "listed": LIST,
}
SECRETS = {"test": "SECRET = 1\n", "canonical_solution": "    SECRET\n", "extra": {"a": "SECRET"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory, sandbox_name):
    """Solves the prompts in a folder; returns the counts, completions, log, and files' bytes."""
    calls: list[str] = []

    def generate(*, problems, output, **_):
        rows = [p.task_id for p in read_jsonl(problems, Problem)]
        path = pathlib.Path(output)
        former = {c.task_id for c in read_jsonl(path, Completion)} if path.exists() else set()
        if former and former != set(rows):  # as sample does
            raise InputError(f"{output} has samples of another run (problems differ)")
        calls.extend(row for row in rows if row not in former)
        samples = [
            Completion(task_id=row, completion=text, sample_index=n, tokens=5, finish_reason="stop")
            for row in rows
            for n, text in enumerate(SAMPLES.get(row, ["    return None\n"] * 2))
        ]
        write_jsonl(output, samples)

    def solve(folder, names=tuple(PROMPTS), *, fields=None, **settings):
        problems = [
            Problem(task_id=name, prompt=PROMPTS[name], entry_point=name, **(fields or {}))
            for name in names
        ]
        write_jsonl(folder / "problems.jsonl", problems)
        counts = solving.solve(
            checkpoint_dir="checkpoint",
            tokenizer="tokenizer.json",
            problems=str(folder / "problems.jsonl"),
            output=str(folder / "solved"),
            runner=ProgramRunner(sandbox=sandbox_name, timeout_s=3.0),
            **{"statements": 0, "outlines": 2, "workers": 1, **settings},
        )
        log = [json.loads(line) for line in (folder / "solved" / "search.jsonl").open()]
        completions = list(read_jsonl(folder / "solved" / "completions.jsonl", Completion))
        files = {path.name: path.read_bytes() for path in (folder / "solved").iterdir()}
        return counts, completions, {line["task_id"]: line for line in log}, files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "generate", generate)
        patch.setattr(sampling.Sampler, "longest_prompt", 4000)
        patch.setattr(
            sampling.Sampler, "count_tokens", lambda _, p: 9999 if "very very" in p else len(p)
        )
        solve.calls = calls
        solve.folder = tmp_path_factory.mktemp("shared")
        solve.first = solve(solve.folder, fields=SECRETS)
        yield solve


def test_a_program_is_composed_of_helpers_that_the_model_planned(run):
    _, completions, log, _ = run.first
    (completion,) = [c for c in completions if c.task_id == "weigh"]
    namespace: dict = {}
    exec(PROMPT + completion.completion, namespace)
    assert namespace["weigh"]([6, 7], 2) == 12
    assert completion.extra["helpers"] == ["is_even", "total"]
    line = log["weigh"]
    assert (line["reason"], line["plan"]) == ("", "helpers")
    assert (line["outlines"], line["helpers"], line["ended"]) == (1, 2, 1)
    assert line["tokens"] == completion.tokens == 5 * 2 * 4  # prompt, outline, two helpers


def test_prompts_that_helpers_do_not_solve_are_counted_by_reason(run):
    counts, completions, log, _ = run.first
    reasons = {
        "plain": "no sample documents a helper that it calls",
        "failing": "no piece of some helper runs on the probes",
        "far": "a helper's prompt and a sample are longer than the model",
    }
    for name, reason in reasons.items():
        assert log[name]["by_helpers"]["reason"] == reason
        assert log[name]["reason"].startswith("no list of steps")
        texts = [c.completion for c in completions if c.task_id == name]
        assert texts == SAMPLES[{"plain": PLAIN, "failing": FAILING, "far": FAR}[name]]
    assert log["plain"]["tokens"] == 5 * 2 * 2
    assert log["failing"]["tokens"] == 5 * 2 * 3
    assert "by_helpers" not in log["node"]
    assert log["listed"].get("plan") is None
    assert sum(counts.values()) == 6


def test_a_run_without_tests_and_references_continues_and_writes_the_same(run, capsys):
    before = list(run.calls)
    again = run(run.folder)
    assert again == run.first
    assert run.calls == before
    assert not any(b"SECRET" in data for data in again[-1].values())
    assert "1 not by helpers: no sample documents a helper that it calls" in capsys.readouterr().out


def test_what_helpers_do_not_solve_is_solved_by_statements(run, tmp_path):
    counts, completions, log, files = run(tmp_path, ("weigh", "plain"), statements=1)
    assert counts == {"solved by search": 2}
    assert log["plain"]["plan"] == "statements"
    assert log["plain"]["by_helpers"]["outlines"] == 0
    (completion,) = [c for c in completions if c.task_id == "plain"]
    assert log["plain"]["tokens"] == completion.tokens == 5 * 2 * 2
    assert PROMPT not in files.get("statements-1.jsonl", b"").decode()


def test_other_settings_than_an_interrupted_run_had_are_refused(run):
    with pytest.raises(InputError, match="problems differ"):
        run(run.folder, outlines=0)
    with pytest.raises(InputError, match="outlines is 21; set it to a whole number, 0 or more and at most 20"):
        run(run.folder, outlines=21)
