"""The four rules: each stops a run with its sentence, none stops a sound one, 0 disables."""

import dataclasses
import json

import pytest

from codex_jax.rl.watch import StopRules, Watch, read_history

SOUND = {"equal_groups": 0.4, "shadow_gap": 0.01, "entropy": 0.5, "ratio": 1.0001, "masked": 0.1}
FAULTY = {
    "equal_batches": ([{"equal_groups": 1.0}] * 10, "the same reward in 10 batches in a row"),
    "shadow_gap": ([{"shadow_gap": 0.2}] * 2, "pass the rewarded cases and fail the shadow cases"),
    "entropy_share": ([{}] * 3 + [{"entropy": 0.049}], "fell from 0.5000 to 0.0490 nats"),
    "ratio": ([{"ratio": 1.051}], "differ by a factor of 1.051"),
}


def reasons(lines, rules=StopRules(), *, is_exact=True):
    watch = Watch(rules, is_exact=is_exact)
    return [watch.check(SOUND | line) for line in lines]


def test_a_sound_run_goes_on():
    lines = [{"entropy": 0.5 - 0.01 * n, "equal_groups": 0.9} for n in range(40)]
    assert not any(reasons(lines))


@pytest.mark.parametrize("rule", FAULTY)
def test_each_rule_stops_with_its_sentence(rule):
    lines, sentence = FAULTY[rule]
    sentences = reasons(lines)
    assert sentence in sentences[-1]
    assert "\n" not in sentences[-1]
    assert not any(reasons(lines, dataclasses.replace(StopRules(), **{rule: 0})))


def test_one_batch_that_teaches_something_begins_the_count_anew():
    equal = [{"equal_groups": 1.0}]
    assert not any(reasons(equal * 9 + [{}] + equal * 9))


def test_samples_that_are_all_cut_teach_nothing():
    lines = [{"masked": 1.0}] * 10
    assert "cut at max_new_tokens in 10 batches" in reasons(lines)[-1]
    assert not any(reasons(lines[:9]))
    assert not any(reasons(lines, StopRules(equal_batches=0)))


def test_the_gap_is_a_mean_of_five_batches():
    assert not any(reasons([{}] * 4 + [{"shadow_gap": 0.2}]))
    assert any(reasons([{}] * 4 + [{"shadow_gap": 0.2}] * 2))


def test_the_ratio_counts_in_float32_alone():
    assert not any(reasons([{"ratio": 1.3}], is_exact=False))


def test_a_continued_run_remembers(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_history(path, 5) == []
    lines = [{"step": n, **SOUND, "equal_groups": 1.0} for n in range(9)]
    lines.insert(3, {"step": 2.5, "loss": 0.0})  # a further step on the same batch
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 9, "eq')
    history = read_history(path, 9)
    assert [line["step"] for line in history] == list(range(9))
    assert len(read_history(path, 4)) == 4
    watch = Watch(StopRules(), is_exact=True, history=history)
    assert watch.reason() == ""
    assert "10 batches" in watch.check(SOUND | {"equal_groups": 1.0})


DAMAGED = [
    "3",
    "null",
    '"step"',
    "{}",
    '{"equal_groups": 1.0}',
    "\\",
    '{"step": "1"}',
    "\xff",
    "[" * 9999,
]


@pytest.mark.parametrize("damage", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_ends_the_history(damage, tmp_path):
    path = tmp_path / "metrics.jsonl"
    line = json.dumps({"step": 0, **SOUND})
    path.write_text(f"{line}\n{damage}\n", encoding="latin-1")
    assert [line["step"] for line in read_history(path, 5)] == [0]
