"""Prompts and samples as a selection sees them: without tests, references and verdicts."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.select.prompts import Prompt, read_prompts, read_samples

PROBLEM = records.Problem(
    task_id="t",
    prompt='def f(x):\n    """f(2) == 4"""\n',
    entry_point="f",
    test="SECRET",
    canonical_solution="SECRET",
    extra={"plus_input": ["SECRET"], "suffix": "# end\n", "blocks": "SECRET"},
)


def test_prompts_hold_nothing_of_tests_and_references():
    prompts = read_prompts([PROBLEM])
    assert prompts == {"t": Prompt("t", PROBLEM.prompt, "f", "# end\n")}
    assert "SECRET" not in repr(prompts)


def test_samples_hold_nothing_of_verdicts():
    extra = {"passed": "SECRET", "verdict": "SECRET", "solution": True, "reviewer_logprob": -1.0}
    samples = [records.Completion(task_id="t", completion="x", sample_index=1, extra=extra)]
    groups = read_samples(samples, read_prompts([PROBLEM]))
    assert groups["t"][0].extra == {"solution": True, "reviewer_logprob": -1.0}


def test_samples_are_in_order_and_tasks_without_samples_are_absent():
    other = Prompt("u", "def g(y):\n", "g")
    samples = [
        records.Completion(task_id="t", completion=c, sample_index=i)
        for i, c in [(3, "a"), (1, "b")]
    ]
    groups = read_samples(samples, {**read_prompts([PROBLEM]), "u": other})
    assert {name: [s.completion for s in group] for name, group in groups.items()} == {
        "t": ["b", "a"]
    }


def test_programs_are_prompt_completion_and_suffix():
    (prompt,) = read_prompts([PROBLEM]).values()
    sample = records.Completion(task_id="t", completion="    return 4\n")
    assert prompt.program(sample) == PROBLEM.prompt + "    return 4\n# end\n"
    repeated = records.Completion(task_id="t", completion="def f(x): ...", extra={"solution": True})
    assert prompt.program(repeated).startswith("def f(x): ...")


def test_inputs_are_the_examples_and_more_only_adds():
    (prompt,) = read_prompts([PROBLEM]).values()
    few, many = prompt.inputs(8), prompt.inputs(24)
    assert few[0] == [2]
    assert many[:8] == few
    assert len(many) == 24


@pytest.mark.parametrize("language", ["javascript", "bash"])
def test_programs_in_other_languages_are_not_called(language):
    problem = records.Problem(
        task_id="t", prompt="f(1) == 2", entry_point="f", extra={"language": language}
    )
    prompt = read_prompts([problem])["t"]
    assert prompt.entry_point == ""
    assert prompt.examples() == prompt.inputs(4) == []


def test_a_reviewers_score_must_be_a_number():
    sample = records.Completion(task_id="t", completion="", extra={"reviewer_logprob": "high"})
    with pytest.raises(InputError, match="reviewer_logprob is 'high'; expected a number of nats"):
        read_samples([sample], read_prompts([PROBLEM]))


@pytest.mark.parametrize("value", ["x", True, float("nan"), float("-inf")])
def test_a_reviewer_s_log_probability_that_is_no_finite_number_is_refused(value):
    line = json.dumps({"task_id": "t", "completion": "", "reviewer_logprob": value})
    sample = records.parse_record(line, records.Completion, where="line")
    with pytest.raises(InputError, match=r"reviewer_logprob is .*set it to"):
        read_samples([sample], {"t": Prompt("t", "", "f")})
