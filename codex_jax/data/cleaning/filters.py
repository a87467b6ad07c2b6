"""Filters of the Codex paper (section 3.1), and two checks of our own.

The paper drops files that are probably auto-generated, have lines of mean length over 100 or
maximum over 1000, or few alphanumeric characters; it gives no rule for the first nor a number for
the last.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from codex_jax import ranges
from codex_jax.data.languages import parse_error_fraction

_GENERATED = re.compile(
    r"@generated|\bauto-?\s?generated\b|\b(?:do not|don't) (?:edit|modify)\b"
    r"|\bgenerated (?:by|from|file|code|automatically)\b|\bautomatically generated\b",
    re.IGNORECASE,
)
_ALPHANUMERIC = re.compile(r"[^\W_]+")
_OTHER_ASCII = bytes(byte for byte in range(128) if not chr(byte).isalnum())
_HEAD_LINES = 10
_RANGES = {
    "mean_line": ranges.real(0, math.inf, excludes_low=True),
    "longest_line": ranges.integer(1, math.inf),
    "alphanumeric": ranges.real(0, 1),
    "broken": ranges.real(0, 1, is_optional=True),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filters:
    """Thresholds; the defaults are the paper's where it names them.

    Args:
      generated: Whether files that say they are generated are dropped.
      mean_line: Longest mean line, in characters.
      longest_line: Longest line, in characters.
      alphanumeric: Least share of alphanumeric characters.
      broken: Largest share outside the language's grammar; None doesn't parse.
    """

    generated: bool = True
    mean_line: float = 100.0
    longest_line: int = 1000
    alphanumeric: float = 0.25
    broken: float | None = None

    def __post_init__(self) -> None:
        """Refuses thresholds that every file passes, or none, whatever it holds."""
        ranges.check("Filters", self, _RANGES)


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The result of a check of a file: the measured value, and whether it passes."""

    step: str
    value: str
    passed: bool


def run_checks(text: str, language: str, filters: Filters) -> Iterator[CheckResult]:
    """Yields the checks in their order, lazily, so the caller may stop at the first failure."""
    lines = text.splitlines() or [""]
    longest = max(map(len, lines))
    yield CheckResult("long line", f"{longest} characters", longest <= filters.longest_line)
    mean = sum(map(len, lines)) / len(lines)
    yield CheckResult("mean line", f"{mean:.1f} characters", mean <= filters.mean_line)
    share = _count_alphanumerics(text) / max(len(text), 1)
    yield CheckResult("few alphanumerics", f"{share:.0%}", share >= filters.alphanumeric)
    if filters.generated:
        sign = _GENERATED.search("\n".join(lines[:_HEAD_LINES]))
        yield CheckResult("generated", repr(sign[0]) if sign else "no sign", sign is None)
    if filters.broken is not None:
        share = parse_error_fraction(text, language)
        value = f"{share:.0%} outside {language}"
        yield CheckResult("does not parse", value, share <= filters.broken)


def _count_alphanumerics(text: str) -> int:
    """Counts letters and digits."""
    if text.isascii():
        return len(text.encode().translate(None, _OTHER_ASCII))
    return sum(map(len, _ALPHANUMERIC.findall(text)))
