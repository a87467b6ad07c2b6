"""The lines of a compiler's or a program's output that say what is wrong."""

import re

_CHARACTERS = 300
# Frames of a stack, lines of source around the one that counts, marks below it, empty lines.
_NOISE = "|".join(
    (
        r"^\s+(at|from) ",
        r"^#\d+ ",
        r"^\s+(=> *)?\d+: ",
        r"^\s*\|?[\s\^~|=-]*$",
        r"^\s*(\d+ )?\|[\s|]*[\^~-]{1,}",
        r"^(Traceback|stack (traceback|backtrace):|goroutine |note: )",
        r"node:internal",
    )
)
_BARE = r"[\w.]*(Error|Exception)( \[\w+\])?:?$"


def find_helpful_lines(output: str, error_pattern: str, *, is_last: bool = False) -> str:
    """Returns the first line of the output that matches the pattern, and what explains it.

    Args:
      output: of a compiler or a program; any length.
      error_pattern: pattern of lines that say what is wrong, in the language's own terms.
      is_last: whether the last such line counts, as in a traceback.

    Returns:
      At most 300 characters in one line: the line, what follows it without frames of a stack, and
      before an error that has no text the line of source that raised it. Without such a line it is
      the beginning of the output.
    """
    lines = [line for line in output.splitlines() if not re.search(_NOISE, line)]
    matches = [i for i, line in enumerate(lines) if re.search(error_pattern, line)]
    if not matches:
        return _join(lines)
    start = matches[-1 if is_last else 0]
    if is_last and start and re.fullmatch(_BARE, lines[start].strip()):
        return _join([lines[start].strip().rstrip(":") + ":", lines[start - 1]])
    return _join(lines[start:])


def _join(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())[:_CHARACTERS]
