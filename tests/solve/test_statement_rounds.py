"""solve by statements from end to end, with known samples and the real sandbox."""

import json

import pytest

from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.records import Completion, Problem, read_jsonl, write_jsonl
from codex_jax.solve import sampling
from codex_jax.solve import solve as solving
from tests.solve.test_statement_search import FIRST, LOOP, PROMPT, RETURN

REST = LOOP + RETURN
UNLIKE = 'def unlike(n: int):\n    """Returns 7.\n\n    >>> unlike(2)\n    7\n    """\n'
LONG = 'def far(n: int):\n    """Is ' + "very " * 300 + 'long."""\n'
LISTED = 'def listed(s: str):\n    """Do:\n' + "    - reverse it\n" * 200 + '    """\n'
SAMPLES = {
    PROMPT: [FIRST + "    return 18\n", FIRST + "    while True:\n        pass\n"],
    PROMPT + FIRST: [REST, "    return 0\n"],
    UNLIKE: ["    return n\n", "    return open('/etc/passwd').read()\n"],
    LISTED: ["    return s\n"] * 2,
}


@pytest.fixture(scope="module")
def solved(tmp_path_factory, sandbox_name):
    """Output of two runs, the second of which continues, and the numbers of samples made."""
    folder, counts = tmp_path_factory.mktemp("solve"), []

    def generate(*, problems, output, **_):
        rows = [p.task_id for p in read_jsonl(problems, Problem)]
        counts.append(rows)
        samples = [
            Completion(task_id=row, completion=text, sample_index=n, tokens=5, finish_reason="stop")
            for row in rows
            for n, text in enumerate(SAMPLES.get(row, ["    return None\n"] * 2))
        ]
        write_jsonl(output, samples)

    prompts = {"weigh": PROMPT, "unlike": UNLIKE, "far": LONG, "listed": LISTED}
    problems = [Problem(task_id=n, prompt=p, entry_point=n) for n, p in prompts.items()]
    write_jsonl(folder / "problems.jsonl", problems)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "generate", generate)
        patch.setattr(sampling.Sampler, "longest_prompt", 4000)
        patch.setattr(
            sampling.Sampler, "count_tokens", lambda _, p: 9999 if "very" in p else len(p)
        )
        outcomes = solving.solve(
            checkpoint_dir="checkpoint",
            tokenizer="tokenizer.json",
            problems=str(folder / "problems.jsonl"),
            output=str(folder / "solved"),
            runner=ProgramRunner(sandbox=sandbox_name, timeout_s=0.5),
            statements=3,
            beam=1,
            workers=1,
        )
    log = [json.loads(line) for line in (folder / "solved" / "search.jsonl").open()]
    completions = list(read_jsonl(folder / "solved" / "completions.jsonl", Completion))
    return outcomes, completions, {line["task_id"]: line for line in log}, counts


def test_a_program_is_found_statement_by_statement(solved):
    _, completions, log, _ = solved
    (completion,) = [c for c in completions if c.task_id == "weigh"]
    assert completion.completion == FIRST + REST
    assert completion.extra["statements"] == 3
    line = log["weigh"]
    assert (line["reason"], line["plan"], line["examples"]) == ("", "statements", 2)
    assert line["ended"] == 1  # what loops is dropped
    assert line["tokens"] == completion.tokens == 10 * line["windows"]


def test_each_round_samples_what_follows_the_states(solved):
    *_, counts = solved
    assert counts[0] == [PROMPT, UNLIKE, LISTED]
    assert counts[1] == [PROMPT + FIRST]
    assert all(len(set(rows)) == len(rows) for rows in counts)


def test_prompts_that_fail_have_their_samples_and_a_counted_reason(solved):
    outcomes, completions, log, _ = solved
    reasons = {
        "unlike": "no program by statements satisfies the prompt's examples",
        "listed": "a plan of 200 steps; the most are 40",
    }
    for name, reason in reasons.items():
        assert log[name]["reason"] == reason
        assert outcomes[f"samples of the full prompt: {reason}"] == 1
        texts = [c.completion for c in completions if c.task_id == name]
        assert texts == SAMPLES[UNLIKE if name == "unlike" else LISTED]
    assert log["unlike"]["tokens"] == 10
    assert outcomes["solved by search"] == 1


def test_a_prompt_that_is_longer_than_the_model_has_no_answer(solved):
    outcomes, completions, log, _ = solved
    assert outcomes["no answer: the prompt and a sample are longer than the model"] == 1
    assert "far" not in {c.task_id for c in completions}
    assert log["far"]["windows_too_long"] == 1
