"""Rewards as a user writes them: right ones, and faulty ones of each sort."""

import itertools
import os
import pathlib


def count_vowels(prompts, completions, **columns):
    """Rewards text that random weights write, so that there is something to learn."""
    del prompts, columns
    return [float(sum(letter in "aeiou(" for letter in text)) for text in completions]


def constant(prompts, completions, **columns):
    del completions, columns
    return [1.0] * len(prompts)


def first_only(prompts, completions, **columns):
    del completions, columns
    return [1.0] + [None] * (len(prompts) - 1)


def case_share_twice(prompts, completions, case_share, **columns):
    del prompts, completions, columns
    return [2 * share for share in case_share]


def not_a_number(prompts, completions, **columns):
    del completions, columns
    return [float("nan")] * len(prompts)


def too_few(prompts, completions, **columns):
    del completions, columns
    return [1.0] * (len(prompts) - 1)


def text(prompts, completions, **columns):
    del completions, columns
    return ["1"] * len(prompts)


def raises(prompts, completions, **columns):
    del prompts, completions, columns
    raise KeyError("lint")


def raises_once(prompts, completions, **columns):
    """Raises at the second call, counted in the file that the environment names."""
    flag = pathlib.Path(os.environ["CODEX_JAX_TEST_FLAG"])
    with flag.open("a", encoding="utf-8") as out:
        out.write("x")
    if flag.stat().st_size == 2:
        raise RuntimeError("once")
    return count_vowels(prompts, completions, **columns)


def exits(prompts, completions, **columns):
    """Ends as a script does."""
    del prompts, completions, columns
    raise SystemExit(3)


def huge(prompts, completions, **columns):
    """Returns integers that no float can hold, and that Python doesn't write."""
    del completions, columns
    return [10**5000] * len(prompts)


def large(prompts, completions, **columns):
    del completions, columns
    return [-2e6] * len(prompts)


def nothing(prompts, completions, **columns):
    """Forgets its return."""


def sorts_verdicts(prompts, completions, **columns):
    """Changes what is passed to it."""
    columns["verdict"].sort()
    completions.clear()
    return [0.0] * len(prompts)


def endless(prompts, completions, **columns):
    del prompts, completions, columns
    return itertools.repeat(1.0)


def unordered(prompts, completions, **columns):
    del completions, columns
    return {float(n) for n in range(len(prompts))}


def by_prompt(prompts, completions, **columns):
    del completions, columns
    return dict.fromkeys(range(len(prompts)), 1.0)


class Stop(BaseException):
    """Ends more than an Exception does."""


def stops(prompts, completions, **columns):
    del prompts, completions, columns
    raise Stop("now")


class Incomparable(float):
    """A number that can't be compared."""

    def __ge__(self, other):
        raise ValueError

    __le__ = __float__ = __ge__


def incomparable(prompts, completions, **columns):
    del completions, columns
    return [Incomparable(1)] * len(prompts)


async def later(prompts, completions, **columns):
    del completions, columns
    return [1.0] * len(prompts)


no_function = 3
