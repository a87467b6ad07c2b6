"""Building blocks of chains: a text of the docstring and a line of code for each.

A domain is thirteen blocks over one type. "strings" are the paper's own (Codex, appendix C);
"lists" are thirteen over lists of integers, of the same form.
"""

import dataclasses
import functools
import random
import string
import types
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Domain:
    """Blocks over one type of value.

    Attributes:
      prefix: of its problems' task ids.
      entry_point: name of the function that a chain describes.
      argument: its parameter, which every line of code reads and sets.
      annotation: type of the parameter.
      noun: of the value, in the docstring.
      blocks: (text of the docstring, line of code).
      random_value: draws an input, long enough that unequal chains seldom agree by chance.
    """

    prefix: str
    entry_point: str
    argument: str
    annotation: str
    noun: str
    blocks: tuple[tuple[str, str], ...]
    random_value: Callable[[random.Random], Any]

    @functools.cached_property
    def code(self) -> tuple[types.CodeType, ...]:
        """The lines of code, compiled."""
        return tuple(compile(line, "block", "exec") for _, line in self.blocks)


# The paper's thirteen blocks.
_STRING_BLOCKS: tuple[tuple[str, str], ...] = (
    ("remove all instances of the letter e from the string", 's = s.replace("e", "")'),
    ("replace all spaces with exclamation points in the string", 's = s.replace(" ", "!")'),
    ("convert the string s to lowercase", "s = s.lower()"),
    ("remove the first and last two characters of the string", "s = s[2:-2]"),
    (
        "removes all vowels from the string",
        's = "".join(char for char in s if char not in "aeiouAEIOU")',
    ),
    (
        "remove every third character from the string",
        's = "".join(char for i, char in enumerate(s) if i % 3 != 0)',
    ),
    ("drop the last half of the string, as computed by characters", "s = s[: len(s) // 2]"),
    ("replace spaces with triple spaces", 's = s.replace(" ", "   ")'),
    ("reverse the order of words in the string", 's = " ".join(s.split()[::-1])'),
    (
        "drop the first half of the string, as computed by number of words",
        's = " ".join(s.split()[len(s.split()) // 2 :])',
    ),
    (
        "add the word apples after every word in the string",
        's = " ".join(word + " apples" for word in s.split())',
    ),
    (
        "make every other character in the string uppercase",
        's = "".join(char.upper() if i % 2 == 0 else char for i, char in enumerate(s))',
    ),
    (
        "delete all exclamation points, question marks, and periods from the string",
        's = "".join([x for x in s if x not in ".!?"])',
    ),
)

_LIST_BLOCKS: tuple[tuple[str, str], ...] = (
    ("add one to every number of the list", "xs = [x + 1 for x in xs]"),
    ("double every number of the list", "xs = [2 * x for x in xs]"),
    ("reverse the order of the list", "xs = xs[::-1]"),
    ("sort the list in ascending order", "xs = sorted(xs)"),
    ("remove all odd numbers from the list", "xs = [x for x in xs if x % 2 == 0]"),
    ("remove the first two numbers of the list", "xs = xs[2:]"),
    ("remove the last number of the list", "xs = xs[:-1]"),
    ("replace every negative number with zero", "xs = [max(x, 0) for x in xs]"),
    (
        "replace every number by the sum of the numbers up to it",
        "xs = [sum(xs[: i + 1]) for i in range(len(xs))]",
    ),
    ("append the largest number to the end of the list", "xs = xs + [max(xs, default=0)]"),
    ("remove numbers that occurred before in the list", "xs = list(dict.fromkeys(xs))"),
    ("keep every other number of the list", "xs = xs[::2]"),
    (
        "negate every third number of the list",
        "xs = [-x if i % 3 == 2 else x for i, x in enumerate(xs)]",
    ),
)


def random_text(rng: random.Random) -> str:
    """Draws words with punctuation."""
    letters = string.ascii_lowercase + "eeaiou" + string.ascii_uppercase
    words = []
    for _ in range(rng.randint(20, 32)):
        word = "".join(rng.choices(letters, k=rng.randint(2, 9)))
        words.append(word + rng.choice(["", "", "", "!", "?", "."]))
    return " ".join(words)


def random_numbers(rng: random.Random) -> list[int]:
    """Draws integers from -20 to 40, some of them twice."""
    numbers = [rng.randint(-20, 40) for _ in range(rng.randint(40, 60))]
    return numbers + rng.choices(numbers, k=20)


STRINGS = Domain(
    prefix="chains",
    entry_point="string_manipulation",
    argument="s",
    annotation="str",
    noun="string",
    blocks=_STRING_BLOCKS,
    random_value=random_text,
)
LISTS = Domain(
    prefix="lists",
    entry_point="list_manipulation",
    argument="xs",
    annotation="list[int]",
    noun="list",
    blocks=_LIST_BLOCKS,
    random_value=random_numbers,
)
DOMAINS = {"strings": STRINGS, "lists": LISTS}
