"""Tests that a model writes itself (CodeT, Chen et al., 2022): prompts for them, and reading them.

`sample` completes the prompts; a completion goes on with the first assertion.
"""

import ast
from collections.abc import Iterable, Mapping

from codex_jax import InputError, files, records
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.select.examples import Example
from codex_jax.evaluate.select.literals import evaluate, parse_expression
from codex_jax.evaluate.select.prompts import Prompt, read_prompts

_IS_TESTS = files.has_json_keys("task_id", "prompt", "tests_of", lines=True)
_MOST = 30  # tests of a prompt: the first that its completions write


def write_test_prompts(*, problems: str, output: str) -> int:
    """Writes prompts that ask a model for tests of each problem's function; returns their number.

    `sample` completes them, and `evaluate select` runs the programs on what it wrote. Prompts only
    are read of the problems.

    Args:
      problems: JSON Lines of problems, or humaneval.
      output: JSON Lines to write, with the problems' task_ids.

    Raises:
      InputError: unusable problems, or the output is another file.
    """
    files.claim_file(output, _IS_TESTS, "output", [problems])
    prompts = read_prompts(formats.read_problems(problems).values())
    rows = [
        records.Problem(
            task_id=prompt.task_id,
            prompt=prompt_for_tests(prompt),
            extra={"tests_of": prompt.entry_point},
        )
        for prompt in prompts.values()
        if prompt.entry_point
    ]
    count = records.write_jsonl(output, rows)
    print(f"{output}: {count} prompts; sample completes them")
    return count


def prompt_for_tests(prompt: Prompt) -> str:
    """Returns the prompt with an empty body, up to the parenthesis of the first assertion."""
    name = prompt.entry_point
    return f"{prompt.text.rstrip()}\n    pass\n\n\n# check that {name} is correct\nassert {name}("


def read_tests(
    prompts: Mapping[str, Prompt], completions: Iterable[records.Completion]
) -> dict[str, list[Example]]:
    """Returns the tests of each task, each once, from completions of `prompt_for_tests`.

    Lines that are no assertion of one call's answer are passed over.

    Raises:
      InputError: no completion is for one of the prompts.
    """
    tests: dict[str, dict[str, Example]] = {}
    is_known, unknown = False, ""
    for completion in completions:
        prompt = prompts.get(completion.task_id)
        if prompt is None:
            unknown = completion.task_id
            continue
        is_known = True
        if not prompt.entry_point:
            continue
        text = f"assert {prompt.entry_point}({completion.completion}"
        members = tests.setdefault(prompt.task_id, {})
        for line in text.splitlines():
            if (test := read_assertion(line, prompt.entry_point)) and len(members) < _MOST:
                members.setdefault(repr(test), test)
    if unknown and not is_known:
        raise InputError(
            f"the model's tests are for others than these problems ({unknown!r}, say); set "
            "model_tests to completions of the prompts that evaluate tests wrote for them"
        )
    return {name: list(members.values()) for name, members in tests.items()}


def read_assertion(line: str, entry_point: str) -> Example | None:
    """Returns the call and its answer of `assert f(…) == …` with literals; None for others."""
    keyword, _, text = line.strip().partition(" ")
    try:
        if keyword != "assert":
            return None
        node = parse_expression(text.rpartition(" #")[0] if " #" in text else text)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            call, sign, right = node.left, node.ops[0], node.comparators[0]
            if not isinstance(sign, ast.Eq | ast.Is):
                return None
            answer = evaluate(right)
        else:
            call, answer = node, True
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                call, answer = node.operand, False
        if not isinstance(call, ast.Call) or call.keywords or not call.args:
            return None
        is_ours = isinstance(call.func, ast.Name) and call.func.id == entry_point
        return Example([evaluate(item) for item in call.args], answer) if is_ours else None
    except ValueError:
        return None
