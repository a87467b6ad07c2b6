"""Evidence from programs that run in this process: examples, behaviors, the second round."""

import math

from codex_jax.evaluate.select.evidence import INPUTS, MORE_INPUTS, Candidates, collect_evidence
from codex_jax.evaluate.select.examples import Example
from codex_jax.evaluate.select.prompts import Prompt
from codex_jax.records import Answer, Completion, Run

DOUBLE = Prompt("t", 'def f(x: int):\n    """Double x. f(2) == 4, f(0) == 0"""\n', "f")


class Session:
    """Runs programs here: trusted code of tests."""

    def __init__(self):
        self.runs: list[tuple[str, int]] = []

    def run(self, source, entry_point, calls):
        self.runs.append((source, len(calls)))
        namespace: dict = {}
        exec(source, namespace)
        answers = []
        for arguments, _ in calls:
            try:
                answers.append(Answer(namespace[entry_point](*arguments)))
            except Exception as error:  # noqa: BLE001
                answers.append(Answer(error=f"{type(error).__name__}: {error}"))
        return Run(answers, 0.0)


def evidence(*bodies, prompt=DOUBLE, tests=()):
    samples = [
        Completion(task_id="t", completion=f"    {body}\n", sample_index=i, mean_logprob=-float(i))
        for i, body in enumerate(bodies)
    ]
    session = Session()
    return collect_evidence(Candidates(prompt, samples, tests), session), session


def test_examples_are_counted():
    rows, _ = evidence("return 2 * x", "return 4", "return x", "return 1 / 0", "pass")
    assert [row.examples for row in rows] == [1.0, 0.5, 0.5, 0.0, 0.0]
    assert [row.crashed for row in rows] == [False, False, False, True, True]


def test_equal_outputs_are_one_behavior():
    rows, _ = evidence("return 2 * x", "return x + x", "return x << 1", "return x * x")
    assert [row.behavior for row in rows] == [0, 0, 0, 1]
    assert [row.mean_logprob for row in rows] == [0.0, -1.0, -2.0, -3.0]


def test_equal_programs_run_once_and_the_leading_ones_again():
    rows, session = evidence("return 2 * x", "return 2 * x", "return x + x", "return None", "pass")
    assert len({row.behavior for row in rows[:3]}) == 1
    sources = [source for source, _ in session.runs]
    assert sources.count(DOUBLE.text + "    return 2 * x\n") == 2
    assert [count for _, count in session.runs[:4]] == [INPUTS] * 4  # of distinct programs
    more = len(DOUBLE.inputs(MORE_INPUTS)) - INPUTS
    assert [count for _, count in session.runs[4:]] == [more] * (len(session.runs) - 4)
    assert more > 0


def test_more_inputs_tell_leading_programs_apart():
    """They differ on one input of the second round, and on none of the first."""
    (later,) = DOUBLE.inputs(MORE_INPUTS)[-1]
    assert [later] not in DOUBLE.inputs(INPUTS)
    bodies = ("return 2 * x", "return x + x", f"return 0 if x == {later} else 2 * x")
    rows, _ = evidence(*bodies)
    assert [row.behavior for row in rows] == [0, 0, 1]
    assert all(row.examples == 1.0 for row in rows)


def test_the_models_tests_are_numbered():
    tests = [Example([3], 6), Example([5], 25)]
    rows, _ = evidence("return 2 * x", "return x * x", "return x", tests=tests)
    assert [row.tests for row in rows] == [(0,), (1,), ()]


def test_without_inputs_samples_have_their_log_probabilities_alone():
    rows, session = evidence("return 1", "return 2", prompt=Prompt("t", "def f(x: Tree):\n", "f"))
    assert session.runs == []
    assert [(row.examples, row.crashed, row.behavior) for row in rows] == [
        (1.0, False, 0),
        (1.0, False, 1),
    ]
    assert math.isclose(rows[1].mean_logprob, -1.0)
