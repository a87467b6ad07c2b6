"""Chains: the same for a seed, disjoint between the splits, and judged by tests that can fail."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax import InputError, records
from codex_jax.curate import chains


def solve(prompt: str, body: str):
    namespace: dict = {}
    exec(prompt + body, namespace)
    return namespace[chains.ENTRY_POINT]


def run_check(problem: records.Problem, candidate) -> None:
    namespace: dict = {}
    exec(problem.test, namespace)
    namespace["check"](candidate)


def test_known_answers():
    text = "Ab cde. fgh!"
    expected = {
        0: "Ab cd. fgh!",
        3: " cde. fg",
        5: "b de fh!",  # positions 0, 3, 6 and 9 are dropped
        7: "Ab   cde.   fgh!",
        8: "fgh! cde. Ab",
        9: "cde. fgh!",
        12: "Ab cde fgh",
    }
    for block, answer in expected.items():
        assert chains.apply((block,), text) == answer


def test_every_block_is_written_as_it_runs():
    for block in range(len(chains.BLOCKS)):
        candidate = solve(chains.prompt((block,)), chains.solution((block,)))
        assert candidate("Some words, Here!") == chains.apply((block,), "Some words, Here!")


@hypothesis.given(st.permutations(range(13)), st.integers(1, 5), st.integers(0, 99))
def test_the_reference_passes_its_own_check(order, length, seed):
    chain = tuple(order[:length])
    problem = chains.problem(chain, task_id="x", seed=seed)
    run_check(problem, solve(problem.prompt, problem.canonical_solution))


def test_a_chain_with_one_block_missing_or_swapped_fails():
    chain = (1, 4, 7, 11)
    problem = chains.problem(chain, task_id="x", seed=0)
    for other in [(1, 4, 7), (1, 7, 11), (5, 4, 7, 11), (7, 1, 4, 11)]:
        with pytest.raises(AssertionError):
            run_check(problem, solve(problem.prompt, chains.solution(other)))


@pytest.mark.parametrize("seed", [0, 7])
def test_no_test_chain_is_in_training(seed):
    train, test = chains.split(seed=seed, train_chains=3000, held_out=(5, 20, 20, 20, 20))
    assert len(train) == len(set(train)) == 3000
    assert len(test) == len(set(test)) == 85
    assert not set(train) & set(test)
    short = {c for n in (1, 2) for c in itertools.permutations(range(13), n)}
    assert short - set(test) <= set(train)


def test_folders_are_the_same_for_a_seed_and_hold_no_test_chain(tmp_path):
    arguments = {"train_chains": 400, "held_out": (5, 6, 2, 2, 2)}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        chains.write_chains(output=str(tmp_path / name), seed=seed, **arguments)
    trees = {
        name: {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for path in (tmp_path / name).rglob("*.*")
        }
        for name in "abc"
    }
    assert trees["a"] == trees["b"] != trees["c"]
    corpus = b"".join(trees["a"][name] for name in trees["a"] if name.endswith(".py")).decode()
    for problem in records.read_jsonl(tmp_path / "a" / "chains-test.jsonl", records.Problem):
        assert problem.prompt not in corpus
        assert problem.extra["blocks"] == len(problem.extra["chain"])
    trained = list(records.read_jsonl(tmp_path / "a" / "chains-train.jsonl", records.Problem))
    assert len(trained) == 400
    assert all(problem.prompt in corpus and "assert" not in corpus for problem in trained)


def test_writing_again_with_another_seed_leaves_nothing_of_the_first(tmp_path):
    for seed in (1, 2):
        chains.write_chains(output=str(tmp_path), seed=seed, train_chains=300)
    assert len(list((tmp_path / "train").rglob("*.py"))) == 300


def test_impossible_counts_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"held_out=\(13, 1\); expected 5 counts.*set held_out"):
        chains.write_chains(output=str(tmp_path), held_out=(13, 1))


@pytest.mark.parametrize(
    "name", ["train/1/mine.py", "train/1/7.py", "train/utils/a.py", "chains-test.jsonl", "a.txt"]
)
def test_a_file_of_something_else_is_refused_and_stays(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("print('mine')\n")
    with pytest.raises(InputError, match="which this command didn't write"):
        chains.write_chains(output=str(tmp_path), train_chains=20, held_out=(1, 0, 0, 0, 0))
    assert path.read_text() == "print('mine')\n"


def test_its_own_files_are_replaced(tmp_path):
    for seed in (0, 1):
        chains.write_chains(
            output=str(tmp_path), seed=seed, train_chains=20, held_out=(1, 0, 0, 0, 0)
        )
    assert len(list(tmp_path.glob("train/*/*.py"))) >= 12
