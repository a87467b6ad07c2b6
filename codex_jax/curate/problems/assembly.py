"""The text of a problem: prompt, reference body, test and shadow test, from cases."""

import ast
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import problem_texts, records
from codex_jax.curate.packages.extraction import Extracted
from codex_jax.curate.problems import cases as case_texts
from codex_jax.curate.problems import usefulness
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.problems.usefulness import RejectedError

MIN_TEST, MAX_TEST = 3, 24
_EXAMPLES = 2


class Split(NamedTuple):
    """Disjoint cases of a problem."""

    examples: list[Case]  # for the docstring
    test: list[Case]
    shadow: list[Case]


def split_cases(cases: Sequence[Case], *, wants_examples: bool, rng: random.Random) -> Split:
    """Splits cases: a third apart as shadow cases, and two as examples if they are wanted.

    Raises:
      RejectedError: there are too few for a test of 3 cases with 2 outputs.
    """
    shuffled = rng.sample(list(cases), len(cases))
    examples: list[Case] = []
    spare = len(cases) - MIN_TEST - 1
    for case in sorted(shuffled, key=lambda case: not case.is_recorded) if wants_examples else []:
        is_new = case.output not in {example.output for example in examples}
        if len(examples) < min(_EXAMPLES, spare) and is_new and case_texts.doctest_lines("f", case):
            examples.append(case)
    rest = [case for case in shuffled if case not in examples]
    count = max(1, len(rest) // 3) if len(rest) > MIN_TEST else 0
    test, shadow = _interleave(rest, len(rest) - count)
    if len(test) < MIN_TEST or not shadow:
        raise RejectedError("fewer than 4 cases")
    test = test[:MAX_TEST]
    usefulness.check_cases(test)
    return Split(examples, test, shadow[: MAX_TEST // 2])


def _interleave(cases: Sequence[Case], count: int) -> tuple[list[Case], list[Case]]:
    """Returns `count` cases, those of outputs not seen yet first, and the others."""
    outputs: set[str] = set()
    fresh: list[Case] = []
    repeated: list[Case] = []
    for case in cases:
        (repeated if case.output in outputs else fresh).append(case)
        outputs.add(case.output)
    ordered = [*fresh[:2], *sorted([*fresh[2:], *repeated], key=cases.index)]
    return ordered[:count], ordered[count:]


def assemble(
    extracted: Extracted, split: Split, *, task_id: str, extra: Mapping[str, Any]
) -> records.Problem:
    """Returns the problem, whose prompt and reference body joined are the extracted program.

    Raises:
      RejectedError: the text can't be split, or states too little.
    """
    header, body = split_definition(extracted.definition, split.examples)
    node = _function(extracted.definition)
    is_generator = usefulness.is_generator(node)
    prelude = f"{extracted.prelude}\n\n" if extracted.prelude else ""
    if ast.get_docstring(node) is not None:  # others get a docstring that may state all
        usefulness.check_stated(prelude + header, node.body[1:], [*split.test, *split.shadow])
    shadow = case_texts.check_function(split.shadow, is_generator=is_generator)
    return records.Problem(
        task_id=task_id,
        prompt=prelude + header,
        entry_point=extracted.entry_point,
        test=case_texts.check_function(split.test, is_generator=is_generator),
        canonical_solution=body,
        extra={**extra, "shadow": shadow},
    )


def split_definition(definition: str, examples: Sequence[Case] = ()) -> tuple[str, str]:
    """Returns (signature with docstring, body) of a function's text.

    Raises:
      RejectedError: two of signature, docstring and body share a line, or there is no body.
    """
    node = _function(definition)
    lines = problem_texts.split_lines(definition)
    if ast.get_docstring(node) is None:
        first = node.body[0]
        decorators = [decorator.lineno for decorator in getattr(first, "decorator_list", [])]
        start = min([first.lineno, *decorators]) - 1
        if lines[start].encode()[: first.col_offset].strip():
            raise RejectedError("signature and body on one line")
        return "".join(lines[:start]), "".join(lines[start:])
    docstring, *body = node.body
    assert docstring.end_lineno is not None
    if not body or body[0].lineno <= docstring.end_lineno or docstring.lineno <= node.lineno:
        raise RejectedError("docstring and body on one line")
    header = "".join(lines[: docstring.end_lineno])
    if examples:
        header = _add_examples(header, docstring, node, examples)
    return header, "".join(lines[docstring.end_lineno :])


def _function(definition: str) -> ast.FunctionDef:
    node = ast.parse(definition).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def _add_examples(
    header: str, docstring: ast.stmt, node: ast.FunctionDef, examples: Sequence[Case]
) -> str:
    """Returns the header with examples at the docstring's end; unchanged if its quotes are odd."""
    text = header.rstrip()
    quotes = text[-3:]
    if quotes not in ('"""', "'''"):
        return header
    start = sum(map(len, problem_texts.split_lines(header)[: docstring.lineno - 1]))
    is_raw = text[start:].lstrip()[:1] in "rR"
    indent = " " * docstring.col_offset
    is_generator = usefulness.is_generator(node)
    lines = [
        line
        for case in examples
        for line in case_texts.doctest_lines(node.name, case, is_generator=is_generator)
    ]
    if any(quotes in line for line in lines):
        return header
    if not is_raw:
        lines = [line.replace("\\", "\\\\") for line in lines]
    block = "".join(f"{indent}{line}\n" for line in lines)
    return f"{text[:-3].rstrip()}\n\n{block}{indent}{quotes}\n"
