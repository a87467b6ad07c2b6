"""Rewards: those built in, a user's own, and every way in which one can be faulty."""

import pytest

from codex_jax import InputError
from codex_jax.rl.rewards import find_reward, needs_cases, sum_rewards

COLUMNS = {
    "verdict": ["passed", "failed", "timed out"],
    "case_share": [1.0, 0.5, 0.0],
    "program": ["x = 1", "x = ", "\0"],
}
TEXTS = (["p"] * 3, ["one", "two", "xyz"])


def rewards_of(*names):
    return sum_rewards({name: find_reward(name) for name in names}, *TEXTS, COLUMNS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("passes", [1, 0, 0]), ("share_of_cases", [1, 0.5, 0]), ("parses", [1, 0, 0])],
)
def test_built_in_rewards(name, expected):
    assert rewards_of(name) == expected


def test_several_are_summed_and_none_is_none():
    assert rewards_of("passes", "tests.rl.own_rewards:count_vowels") == [3, 1, 0]
    assert rewards_of("passes", "tests.rl.own_rewards:first_only") == [2, None, None]


def test_cases_are_judged_alone_for_who_asks_for_them():
    names = ["passes", "parses", "tests.rl.own_rewards:constant"]
    assert not needs_cases({name: find_reward(name) for name in names})
    for name in ("share_of_cases", "tests.rl.own_rewards:case_share_twice"):
        assert needs_cases({name: find_reward(name)})
    assert rewards_of("tests.rl.own_rewards:case_share_twice") == [2, 1, 0]


FAULTY = {
    "not_a_number": "returned nan; have it return finite numbers",
    "too_few": "returned 2 values for 3 samples",
    "text": "returned '1'; have it return finite numbers",
    "raises": "raised KeyError: 'lint'",
    "exits": "raised SystemExit: 3",
    "huge": "returned a value of type int; have it return",
    "large": "returned -2000000.0; have it return finite numbers of at most 1e+06",
    "nothing": "raised TypeError: 'NoneType' object is not iterable",
    "endless": "returned more values for 3 samples",
    "unordered": "returned a set, which has not the samples' order",
    "by_prompt": "returned a dict, which has not the samples' order",
    "stops": "raised Stop: now",
    "incomparable": "returned 1.0; have it return finite numbers",
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_reward_is_named_in_a_line(name):
    with pytest.raises(InputError) as error:
        rewards_of(f"tests.rl.own_rewards:{name}")
    assert f"the reward tests.rl.own_rewards:{name} {FAULTY[name]}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reward_that_changes_its_arguments_bears_on_no_other():
    names = ("tests.rl.own_rewards:sorts_verdicts", "passes", "tests.rl.own_rewards:count_vowels")
    assert rewards_of(*names) == [3, 1, 0]


UNKNOWN = {
    "pass": "no reward 'pass'; set rewards to",
    "": "no reward ''",
    ":f": "no reward ':f'",
    "tests.rl.own_rewards:missing": "can't be imported .AttributeError",
    "no_such_module:f": "can't be imported .ModuleNotFoundError",
    "tests.rl.own_rewards:no_function": "is no function",
    "tests.rl.own_rewards:later": "is async",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_reward_is_refused(name):
    with pytest.raises(InputError, match=UNKNOWN[name]):
        find_reward(name)


def test_a_module_that_raises_is_refused_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "reward_of_two_lines.py").write_text('raise ValueError("first\\nsecond")\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"imported .ValueError: first.; set") as error:
        find_reward("reward_of_two_lines:f")
    assert "\n" not in str(error.value)


def test_a_module_that_exits_is_refused_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "reward_of_a_script.py").write_text("import sys\nsys.exit()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"imported .SystemExit: .; set"):
        find_reward("reward_of_a_script:f")
