"""Rewards of samples: callables (prompts, completions, **columns) → a number or None for each.

The form is TRL's and tunix'. `columns` holds a list for each name: task_id, entry_point, test,
program, verdict ("passed", "failed", …), cause, case_share (of the rewarded cases; None unless a
reward has a parameter of that name), tokens and finish_reason. A sample that the sandbox gave no
verdict reaches no reward: it has none.
"""

import ast
import importlib
import inspect
import itertools
import numbers
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codex_jax import InputError

Reward = Callable[..., Sequence[float | None]]

_LARGEST = 1e6  # in a float32 such rewards still differ by a tenth


def passes(
    prompts: Sequence[str], completions: Sequence[str], *, verdict: Sequence[str], **_: Any
) -> list[float | None]:
    """1 for a program that passes its rewarded cases, else 0."""
    del prompts, completions
    return [float(each == "passed") for each in verdict]


def share_of_cases(
    prompts: Sequence[str], completions: Sequence[str], *, case_share: Sequence[float], **_: Any
) -> list[float | None]:
    """Share of the rewarded cases that the program passes, each judged alone."""
    del prompts, completions
    return list(case_share)


def parses(
    prompts: Sequence[str], completions: Sequence[str], *, program: Sequence[str], **_: Any
) -> list[float | None]:
    """1 for a program that is Python, else 0."""
    del prompts, completions
    return [float(_is_python(text)) for text in program]


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_BUILT_IN: dict[str, Reward] = {
    "passes": passes,
    "share_of_cases": share_of_cases,
    "parses": parses,
}


def find_reward(name: str) -> Reward:
    """Returns a reward by its name here, or by "module:function"; the folder of work is searched.

    Raises:
      InputError: there is none of this name.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    module, _, function = name.partition(":")
    expected = f"set rewards to names of {', '.join(_BUILT_IN)}, or to module:function"
    if not module or not function:
        raise InputError(f"no reward {name!r}; {expected}")
    if (folder := str(pathlib.Path.cwd())) not in sys.path:
        sys.path.append(folder)
    try:
        reward = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's module raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        message = f"the reward {name} can't be imported ({reason:.200}); {expected}"
        raise InputError(message) from None
    is_async = inspect.iscoroutinefunction(reward) or inspect.isasyncgenfunction(reward)
    if is_async or not callable(reward):
        form = "is async" if is_async else "is no function"
        raise InputError(f"the reward {name} {form}; {expected}")
    return reward


def needs_cases(rewards: Mapping[str, Reward]) -> bool:
    """Whether any reward has a parameter `case_share`, for which each case is judged alone."""
    return any("case_share" in _parameters(reward) for reward in rewards.values())


def _parameters(reward: Reward) -> Sequence[str]:
    try:
        return list(inspect.signature(reward).parameters)
    except (TypeError, ValueError):
        return []


def sum_rewards(
    rewards: Mapping[str, Reward],
    prompts: Sequence[str],
    completions: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
) -> list[float | None]:
    """Returns the sum of the rewards of each sample; None where any of them is None.

    Raises:
      InputError: a reward raises, or returns another number of values, nan or no numbers.
    """
    totals: list[float | None] = [0.0] * len(prompts)
    for name, reward in rewards.items():
        values = _call(name, reward, prompts, completions, columns)
        totals = [
            None if total is None or value is None else total + value
            for total, value in zip(totals, values, strict=True)
        ]
    return totals


def _call(
    name: str,
    reward: Reward,
    prompts: Sequence[str],
    completions: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
) -> list[float | None]:
    try:
        copies = {column: list(values) for column, values in columns.items()}
        result = reward(list(prompts), list(completions), **copies)
        has_order = not isinstance(result, set | frozenset | Mapping)
        values = list(itertools.islice(result, len(prompts) + 1)) if has_order else []
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a user's function raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"the reward {name} raised {reason:.200}; mend it and run again") from None
    if not has_order:
        raise InputError(
            f"the reward {name} returned a {type(result).__name__}, which has not the samples' "
            "order; have it return a list"
        )
    if len(values) != len(prompts):
        count = "more" if len(values) > len(prompts) else f"{len(values)}"
        raise InputError(
            f"the reward {name} returned {count} values for {len(prompts)} samples; have it "
            "return one for each"
        )
    for value in values:
        if value is not None and not _is_usable(value):
            raise InputError(
                f"the reward {name} returned {_describe(value)}; have it return finite numbers of "
                f"at most {_LARGEST:g}, or None for no reward"
            )
    return [None if value is None else float(value) for value in values]


def _describe(value: object) -> str:
    """A value's text, or its type where that raises, as an integer's of 5,000 digits does."""
    try:
        return " ".join(repr(value).split())[:60]
    except Exception:  # noqa: BLE001 - whatever a user's class raises
        return f"a value of type {type(value).__name__}"


def _is_usable(value: object) -> bool:
    """Whether a value is a number that a float32 can hold, as can its sums and products."""
    try:
        return isinstance(value, numbers.Real) and -_LARGEST <= float(value) <= _LARGEST
    except Exception:  # noqa: BLE001 - whatever a user's class raises, or an integer of 5,000 digits
        return False
