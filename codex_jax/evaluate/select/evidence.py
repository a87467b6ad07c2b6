"""Evidence of each sample: its program runs on the prompt's examples, on inputs, and on tests."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import records
from codex_jax.evaluate.select.behaviors import Call, Reply, Session, number_behaviors, run_program
from codex_jax.evaluate.select.examples import Example
from codex_jax.evaluate.select.prompts import Prompt
from codex_jax.evaluate.select.ranking import Evidence, leading_behaviors

INPUTS = 16  # for each prompt
MORE_INPUTS = 48  # for the programs of the two behaviors that lead, these included


class Candidates(NamedTuple):
    """A prompt, its samples, and the tests that a model wrote for it."""

    prompt: Prompt
    samples: Sequence[records.Completion]
    tests: Sequence[Example] = ()


def collect_evidence(task: Candidates, session: Session) -> list[Evidence]:
    """Runs a task's programs and returns the evidence of its samples, in order.

    Equal programs run once. Programs of the two leading behaviors run again on more inputs, which
    may tell them apart.
    """
    sources = [task.prompt.program(sample) for sample in task.samples]
    examples = task.prompt.examples()
    inputs = task.prompt.inputs(MORE_INPUTS)
    calls = _distinct([*(e.arguments for e in (*examples, *task.tests)), *inputs[:INPUTS]])
    name = task.prompt.entry_point
    replies = {s: dict(_run(session, s, name, calls)) for s in dict.fromkeys(sources)}
    rows = _evidence(task, examples, sources, replies)
    more = _distinct(inputs[INPUTS:])
    leading = leading_behaviors(rows, 2)
    for row, source in zip(rows, sources, strict=True):
        if row.behavior in leading and not set(more.texts) <= replies[source].keys():
            replies[source] |= _run(session, source, name, more)
    return _evidence(task, examples, sources, replies)


class _Calls(NamedTuple):
    """Distinct calls, and the texts of their arguments."""

    texts: list[str]
    calls: list[Call]


def _distinct(argument_lists: Sequence[Sequence[Any]]) -> _Calls:
    distinct: dict[str, Call] = {repr(values): (tuple(values), {}) for values in argument_lists}
    return _Calls(list(distinct), list(distinct.values()))


def _run(session: Session, source: str, name: str, calls: _Calls) -> dict[str, Reply]:
    """Returns a program's replies by the texts of the calls' arguments."""
    return dict(zip(calls.texts, run_program(session, source, name, calls.calls), strict=True))


def _evidence(
    task: Candidates,
    examples: Sequence[Example],
    sources: Sequence[str],
    replies: Mapping[str, Mapping[str, Reply]],
) -> list[Evidence]:
    digests = {s: [reply.digest for reply in rows.values()] for s, rows in replies.items()}
    behaviors = number_behaviors(digests)
    rows = []
    for sample, source in zip(task.samples, sources, strict=True):
        answers = replies[source]
        passed = _satisfied(examples, answers)
        rows.append(
            Evidence(
                sample_index=int(sample.sample_index),
                examples=len(passed) / len(examples) if examples else 1.0,
                crashed=bool(answers) and not any(r.is_value for r in answers.values()),
                behavior=behaviors[source],
                tests=_satisfied(task.tests, answers),
                mean_logprob=sample.mean_logprob,
                sum_logprob=sample.sum_logprob,
                reviewer_logprob=sample.extra.get("reviewer_logprob"),
            )
        )
    return rows


def _satisfied(examples: Sequence[Example], answers: Mapping[str, Reply]) -> tuple[int, ...]:
    """Returns the numbers of the examples whose call was answered as expected."""
    numbered = (
        (n, example, answers[repr(example.arguments)]) for n, example in enumerate(examples)
    )
    return tuple(n for n, e, reply in numbered if reply.has_answer and e.is_satisfied(reply.value))
