"""The comparison of methods on chains: its chains, its equal tokens and its statistics."""

import pytest
import solve_chains

from codex_jax.records import Completion, Problem, write_jsonl


def completion(task_id, sample_index, tokens):
    return Completion(task_id=task_id, completion="", sample_index=sample_index, tokens=tokens)


def test_a_length_without_test_chains_has_training_chains(tmp_path):
    for name, lengths in {"test": (2, 2, 3), "train": (1, 2, 4)}.items():
        rows = [
            Problem(task_id=f"{name}/{number}", prompt="", extra={"blocks": length})
            for number, length in enumerate(lengths)
        ]
        write_jsonl(tmp_path / f"chains-{name}.jsonl", rows)
    chains = solve_chains.read_chains(tmp_path, [1, 2, 3], 1)
    assert [chain.task_id for chain in chains] == ["train/0", "test/0", "test/2"]


def test_samples_are_cut_to_the_tokens_of_their_task():
    samples = [completion("a", 1, 4), completion("a", 0, 5), completion("a", 2, 9)]
    samples += [completion("b", 0, 50), completion("b", 1, 1)]
    rows = solve_chains.cut_to_tokens(samples, {"a": 10, "b": 10})
    assert [(row.task_id, row.sample_index) for row in rows] == [("a", 0), ("a", 1), ("b", 0)]


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.99])
def test_the_factor_of_exact_shares_is_fitted(factor):
    lengths = [n for n in range(1, 14) for _ in range(60)]
    fitted, (low, high) = solve_chains.fit_factor(lengths, [factor**n for n in lengths])
    assert fitted == pytest.approx(factor, abs=1e-3)
    assert low < factor < high < low + 0.1


def test_an_interval_that_touches_one():
    low, high = solve_chains.wilson(1.0, 60)
    assert low == pytest.approx(0.94, abs=0.005)
    assert high == pytest.approx(1.0)
