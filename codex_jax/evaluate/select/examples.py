"""Examples that a prompt shows: arguments of its function, and the answer that is expected.

They are read from doctests, from calls with an answer after an arrow, an equals sign or a word
("returns"), and from values of the parameters with an answer after them ("Input: … Output: …").
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from codex_jax.evaluate.select.literals import evaluate, parse_expression, read_literal

_WORDS = r"(?:returns?|gives?|outputs?|yields?|equals?|evaluates? to|be|is)"
_SIGN = r"(?:=+>|-+>|==+|=|[→➞⇒⟶⟹])"
_ANSWER = re.compile(
    rf"[^\S\n]*(?:\#[^\S\n]*)?(?:{_SIGN}|:|(?:(?:should|must|will|would)\s+)?{_WORDS}\b)[^\S\n]*",
    re.IGNORECASE,
)
_DOCTEST_ANSWER = re.compile(r"[^\S\n]*(?:\#[^\n]*)?\n[^\S\n]*(?!>>>)")
_VALUE = re.compile(r"\b([A-Za-z_]\w*)\s*(?::|=)\s*(?!=)")
_RESULT = re.compile(
    r"\b(?:output|result|answer)\s*(?:should be|must be|will be|is|:|=)\s*"
    r"|\breturns?\s*(?:=|:)?\s*|\bshould (?:return|be)\s+",
    re.IGNORECASE,
)
_INPUT = re.compile(r"\binputs?\s*:\s*", re.IGNORECASE)
_FAR = 120  # characters between the last value and the answer
_MOST = 50
_WRAPPERS: dict[str, Callable[..., Any]] = {
    "round": round,
    "sorted": sorted,
    "list": list,
    "set": set,
    "len": len,
    "abs": abs,
}


class Example(NamedTuple):
    """Arguments, the expected answer, and the call around the function's own, as in round(f(x), 2).

    Attributes:
      arguments: values of the positional arguments.
      expected: the answer that the prompt shows.
      wrapper: name of the built-in function that is applied to the answer; "" for none.
      wrapper_arguments: its other arguments.
    """

    arguments: list[Any]
    expected: Any
    wrapper: str = ""
    wrapper_arguments: tuple[Any, ...] = ()

    def is_satisfied(self, answer: Any) -> bool:
        """Whether an answer is the expected one; floats may differ by rounding."""
        if self.wrapper:
            try:
                answer = _WRAPPERS[self.wrapper](answer, *self.wrapper_arguments)
            except (TypeError, ValueError, OverflowError, RecursionError):
                return False
        return is_equal(answer, self.expected)


def is_equal(answer: Any, expected: Any) -> bool:
    """Whether two plain values are equal, floats within 1e-6 of one another or of their size."""
    if isinstance(answer, float) or isinstance(expected, float):
        if not all(isinstance(value, int | float) for value in (answer, expected)):
            return False
        return bool(answer == expected) or _is_close(answer, expected)
    if isinstance(expected, list | tuple) and type(answer) is type(expected):
        return len(answer) == len(expected) and all(map(is_equal, answer, expected))
    if isinstance(expected, dict) and isinstance(answer, dict):
        same_keys = answer.keys() == expected.keys()
        return same_keys and all(is_equal(answer[key], expected[key]) for key in expected)
    return bool(answer == expected)


def _is_close(answer: float, expected: float) -> bool:
    try:
        return bool(abs(answer - expected) <= 1e-6 * max(1.0, abs(expected)))
    except OverflowError:  # an integer that is larger than any float
        return False


def read_examples(prompt: str, entry_point: str) -> list[Example]:
    """Returns the examples of a prompt's last function of that name, in order, each once.

    Calls that are shown with two different answers are left out.
    """
    function = _definition(prompt, entry_point)
    parameters = [argument.arg for argument in function.args.args] if function else []
    text = prompt[_header_end(prompt, entry_point) :]
    examples = list(_read_calls(text, entry_point, parameters))
    examples += _read_calls(prompt[: len(prompt) - len(text)], entry_point, parameters)
    examples = examples or list(_read_values(text, parameters))
    examples = examples or list(_read_calls(text, "", parameters))
    return _without_contradictions(examples)[:_MOST]


def _definition(prompt: str, entry_point: str) -> ast.FunctionDef | None:
    try:
        body = ast.parse(prompt.rstrip() + "\n    pass\n").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    return next((node for node in reversed(functions) if node.name == entry_point), None)


def _header_end(prompt: str, entry_point: str) -> int:
    """Returns where the text after the last header of that function begins."""
    headers = list(re.finditer(rf"^def\s+{re.escape(entry_point)}\b[^\n]*", prompt, re.MULTILINE))
    return headers[-1].end() if headers else 0


def _without_contradictions(examples: Sequence[Example]) -> list[Example]:
    answers: dict[str, list[Example]] = {}
    for example in examples:
        answers.setdefault(repr(example._replace(expected=None)), []).append(example)
    return [group[0] for group in answers.values() if all(e == group[0] for e in group)]


def _read_calls(text: str, name: str, parameters: Sequence[str]) -> Iterator[Example]:
    """Yields the calls of `name` in the text that an answer follows.

    With no name it yields calls of names that the text calls its function by mistake: with as many
    arguments as there are parameters.
    """
    pattern = rf"\b{re.escape(name)}\s*\(" if name else r"\b[A-Za-z_]\w*\("
    for match in re.finditer(pattern, text):
        try:
            arguments, end = _read_call(text, match.start(), parameters)
        except ValueError:
            continue
        if not arguments or (not name and len(arguments) != len(parameters)):
            continue
        wrapper, others, end = _read_wrapper(text, match.start(), end)
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        for answer in _answers_after(text[end:], is_doctest=">>>" in line):
            yield Example(arguments, answer, wrapper, others)


def _read_call(text: str, start: int, parameters: Sequence[str]) -> tuple[list[Any], int]:
    """Returns the arguments of the call that begins there, and where it ends.

    Where all arguments are names, but no parameters, they are strings without their quotes.
    """
    for close in re.finditer(r"\)", text[start : start + 2000]):
        end = start + close.end()
        try:
            call = parse_expression(text[start:end])
        except ValueError:
            continue
        if not isinstance(call, ast.Call) or call.keywords:
            break
        names = [argument.id for argument in call.args if isinstance(argument, ast.Name)]
        if names and len(names) == len(call.args) and not set(names) & set(parameters):
            return list(names), end
        return [evaluate(argument) for argument in call.args], end
    raise ValueError("no call with literal arguments")


def _read_wrapper(text: str, start: int, end: int) -> tuple[str, tuple[Any, ...], int]:
    """Returns the function around a call, its other arguments, and where its own call ends."""
    before = re.search(rf"\b({'|'.join(_WRAPPERS)})\($", text[:start])
    after = re.match(r"\s*(?:,\s*(\d+)\s*)?\)", text[end:])
    if before is None or after is None:
        return "", (), end
    return before[1], (int(after[1]),) if after[1] else (), end + after.end()


def _answers_after(text: str, *, is_doctest: bool) -> Iterator[Any]:
    """Yields the answer that the text begins with, if there is one."""
    marks = [_ANSWER.match(text)]
    if is_doctest:
        if re.match(r"[^\S\n]*\n[^\S\n]*\n", text):
            yield None  # Python prints nothing for it
            return
        marks += [_DOCTEST_ANSWER.match(text), re.match(r"[^\S\n]+", text)]
    for mark in marks:
        if mark is None:
            continue
        try:
            yield read_literal(text[mark.end() :])[0]
        except ValueError:
            continue
        return


def _read_values(text: str, parameters: Sequence[str]) -> Iterator[Example]:
    """Yields examples that list values of all parameters, and then an answer."""
    position = 0
    while parameters and position < len(text):
        try:
            arguments, position = _next_values(text, position, parameters)
        except LookupError:
            return
        mark = _RESULT.search(text, position, position + _FAR)
        if mark is None:
            continue
        try:
            answer, length = read_literal(text[mark.end() :])
        except ValueError:
            continue
        position = mark.end() + length
        yield Example(arguments, answer)


def _next_values(text: str, position: int, parameters: Sequence[str]) -> tuple[list[Any], int]:
    """Returns values of the parameters at or after a position, and where they end.

    They have the parameters' names, or follow the word "input", named or not.

    Raises:
      LookupError: there are no more.
    """
    named = re.compile(rf"\b{re.escape(parameters[0])}\s*(?::|=)\s*(?!=)")
    while starts := [m for p in (named, _INPUT) if (m := p.search(text, position))]:
        start = min(starts, key=lambda match: match.start())
        position = start.end() if start.re is _INPUT else start.start()
        values, position = _values_at(text, position, len(parameters))
        if len(values) == len(parameters):
            return values, position
        position = max(position, start.end())
    raise LookupError("no more values")


def _values_at(text: str, position: int, count: int) -> tuple[list[Any], int]:
    """Returns up to `count` values, named or not, that begin there, and where they end."""
    values: list[Any] = []
    while len(values) < count:
        name = _VALUE.match(text, position)
        try:
            value, length = read_literal(text[name.end() if name else position :])
        except ValueError:
            break
        values.append(value)
        position = (name.end() if name else position) + length
        position += len(re.match(r"\s*(?:,|and\b)?\s*", text[position:])[0])  # type: ignore[index]
    return values, position
