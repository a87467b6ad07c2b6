"""Plans: the steps that a prompt's docstring lists, and prompts for some of them in a row."""

import ast
import dataclasses
import re

from codex_jax import problem_texts

MAX_STEPS = 40
_ITEM = re.compile(r"^(\s*)([-*•]|\d+[.)])(\s*)(\S.*)$")
_THEN = re.compile(r",?\s+(?:and\s+)?then\s+|[.;]\s+Then,?\s+")


class NoPlan(Exception):  # noqa: N818  not an error: the prompt is answered without one
    """The prompt can't be solved by pieces; the message says why."""


class NoList(NoPlan):
    """The docstring lists no steps, or not those of one value: the plan may be its statements."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The prompt of a function of one argument, cut at its steps.

    Attributes:
      entry_point: name of the function.
      argument: name of its parameter.
      annotation: source of the parameter's annotation, or "".
      head: text before the first step.
      steps: texts of the steps, without bullets or numbers.
      tail: text after the last step.
      marker: text before each step where they are a list: "    - ", or "    {}. " for numbers.
    """

    entry_point: str
    argument: str
    annotation: str
    head: str
    steps: tuple[str, ...]
    tail: str
    marker: str

    def prompt(self, start: int, stop: int) -> str:
        """Returns the prompt of a function that does the steps from `start` to `stop` alone."""
        steps = self.steps[start:stop]
        if not self.marker:
            return self.head + ", then ".join(steps) + self.tail
        lines = [self.marker.format(n) + step + "\n" for n, step in enumerate(steps, 1)]
        return self.head + "".join(lines) + self.tail


def read_plan(prompt: str, entry_point: str) -> Plan:
    """Reads the plan from the docstring of the prompt's last function.

    A plan is a list with bullets or numbers, or a sentence whose parts are joined by "then". A list
    of one bullet alone is a plan of one step: the prompt itself.

    Raises:
      NoList: there is none, or the function doesn't take one value.
      NoPlan: the prompt is no function's, or its plan can't be followed.
    """
    function = last_function(prompt, entry_point)
    argument, annotation = _argument(function)
    docstring = problem_texts.find_span(prompt, function.body[0])
    for read in (_read_list, _read_sentence, _read_bullet):
        if parts := read(prompt, *docstring):
            head, steps, tail, marker = parts
            if len(steps) > MAX_STEPS:
                raise NoPlan(f"a plan of {len(steps)} steps; the most are {MAX_STEPS}")
            return Plan(entry_point, argument, annotation, head, tuple(steps), tail, marker)
    raise NoList("no list of steps in the docstring, and no sentence joined by 'then'")


def last_function(prompt: str, entry_point: str) -> ast.FunctionDef:
    """Parses the prompt's last function, which has a docstring and nothing after it.

    Raises:
      NoPlan: it ends otherwise, or in a function of another name.
    """
    try:
        body = ast.parse(prompt.rstrip() + "\n    pass\n").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # nested too deep, the last two
        raise NoPlan("the prompt doesn't end in a function's header and docstring") from None
    function = body[-1] if body else None
    if not isinstance(function, ast.FunctionDef):
        raise NoPlan("the prompt doesn't end in a function's header and docstring")
    if function.name != entry_point:
        raise NoPlan(f"the prompt ends in {function.name}, and asks for {entry_point}")
    if len(function.body) > 2 or not ast.get_docstring(function):
        raise NoPlan("the function has no docstring, or has code after it")
    return function


def _argument(function: ast.FunctionDef) -> tuple[str, str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    others = [*arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    if len(named) != 1 or any(others):
        raise NoList(f"{function.name} doesn't take exactly one argument")
    annotation = named[0].annotation
    return named[0].arg, ast.unparse(annotation) if annotation else ""


def _content_span(prompt: str, start: int, stop: int) -> tuple[int, int]:
    """Returns where the text within a literal's quotes begins and ends."""
    quotes = re.match(r"[rRuU]?(\"\"\"|'''|\"|')", prompt[start:stop])
    assert quotes is not None  # a docstring begins with a quote
    return start + quotes.end(), stop - len(quotes[1])


_Parts = tuple[str, list[str], str, str]  # head, steps, tail, marker


def _read_bullet(prompt: str, start: int, stop: int) -> _Parts | None:
    """Returns the parts of a list of one step with a bullet."""
    try:
        parts = _read_list(prompt, start, stop, least=1)
    except NoPlan:  # several such lines
        return None
    return parts if parts and "{" not in parts[-1] else None


def _read_list(prompt: str, start: int, stop: int, least: int = 2) -> _Parts | None:
    """Returns the parts of the docstring's longest list, of `least` steps or more."""
    runs: list[list[tuple[int, re.Match[str]]]] = [[]]
    begin, stop = _content_span(prompt, start, stop)
    position = start
    for line in re.split(r"(?<=\n)", prompt[start:stop]):
        match = _ITEM.match(line.rstrip("\n"))
        if match and runs[-1] and match[1] != runs[-1][-1][1][1]:
            runs.append([])
        if match:
            runs[-1].append((position, match))
        elif runs[-1]:
            runs.append([])
        position += len(line)
    items = max(runs, key=len)
    if len(items) < least:
        return None
    if sum(map(bool, runs)) > 1:
        raise NoPlan("several lists, or a list with items of several lines")
    first = _ITEM.match(prompt[begin:stop].partition("\n")[0])
    if first and (first[2][-1], first[3]) == (items[0][1][2][-1], items[0][1][3]):
        raise NoList("the list begins on the line of the opening quotes")
    last, match = items[-1]
    end = last + len(match.string)
    tail = prompt[end + 1 :] if prompt[end : end + 1] == "\n" else prompt[end:]
    indent, bullet, space, _ = items[0][1].groups()
    marker = indent + ("{}" + bullet[-1] if bullet[0].isdigit() else bullet) + space
    return prompt[: items[0][0]], [match[4].rstrip() for _, match in items], tail, marker


def _read_sentence(prompt: str, start: int, stop: int) -> _Parts | None:
    """Returns the parts of the first paragraph, if "then" joins them and it holds no list."""
    begin, stop = _content_span(prompt, start, stop)
    text = prompt[begin:stop].lstrip()
    begin = stop - len(text)
    text = re.split(r"\n\s*\n|\n\s*>>>", text)[0].rstrip()
    text = text.removesuffix(".")
    if "{" in text or not _THEN.search(text) or any(map(_ITEM.match, text.split("\n")[1:])):
        return None
    steps = [" ".join(step.split()) for step in _THEN.split(text)]
    if not all(steps):
        return None
    return prompt[:begin], steps, prompt[begin + len(text) :], ""
