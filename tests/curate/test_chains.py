"""Chains: the same for a seed, disjoint between the splits, and judged by tests that can fail."""

import collections
import hashlib
import itertools
import random

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax import InputError, records
from codex_jax.curate import chains
from codex_jax.curate.blocks import DOMAINS, STRINGS


def solve(prompt: str, body: str):
    namespace: dict = {}
    exec(prompt + body, namespace)
    return namespace[STRINGS.entry_point]


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
    for block in range(len(STRINGS.blocks)):
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
    with pytest.raises(InputError, match=r"held_out=\(13, 1\); expected 5 to 13 .*set held_out"):
        chains.write_chains(output=str(tmp_path), held_out=(13, 1))
    with pytest.raises(InputError, match=r"curate\.chains\.train_chains is -1; set it to a whole"):
        chains.write_chains(output=str(tmp_path), train_chains=-1)
    with pytest.raises(InputError, match=r"train_chains is 1000000; there are only \d+, in equal"):
        chains.write_chains(output=str(tmp_path), train_chains=1_000_000)
    assert not list(tmp_path.iterdir())


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


# Hashes of the files of a seed, from before there were domains and more than five blocks.
FIRST_BYTES = {0: "4cad25430cf01611", 7: "f6cb46301bc6035b"}


@pytest.mark.parametrize("seed", FIRST_BYTES)
def test_chains_of_former_seeds_are_the_same_bytes(tmp_path, seed):
    chains.write_chains(output=str(tmp_path), seed=seed, train_chains=300)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*.*")):
        digest.update(str(path.relative_to(tmp_path)).encode() + path.read_bytes())
    assert digest.hexdigest()[:16] == FIRST_BYTES[seed]


COUNTS = (2, 3, 2, 2, 2, 5, 2, 5, 2, 2, 2, 2, 5)


@pytest.mark.parametrize("domain", DOMAINS)
def test_lengths_to_thirteen_have_exact_counts(tmp_path, domain):
    chains.write_chains(
        output=str(tmp_path), domain=domain, train_chains=300, held_out=COUNTS, seed=3
    )
    problems = list(records.read_jsonl(tmp_path / "chains-test.jsonl", records.Problem))
    lengths = collections.Counter(problem.extra["blocks"] for problem in problems)
    assert lengths == dict(enumerate(COUNTS, 1))
    assert len({tuple(problem.extra["chain"]) for problem in problems}) == sum(COUNTS)
    trained = records.read_jsonl(tmp_path / "chains-train.jsonl", records.Problem)
    assert max(problem.extra["blocks"] for problem in trained) == 5
    for problem in problems[-3:]:
        namespace: dict = {}
        exec(problem.prompt + problem.canonical_solution, namespace)
        run_check(problem, namespace[problem.entry_point])


@pytest.mark.parametrize("name", DOMAINS)
def test_blocks_do_as_they_are_written_and_differ(name):
    domain, rng = DOMAINS[name], random.Random(0)
    values = [domain.random_value(rng) for _ in range(5)]
    behaviors = set()
    for block in range(len(domain.blocks)):
        text = chains.prompt((block,), domain) + chains.solution((block,), domain)
        namespace: dict = {}
        exec(text, namespace)
        outputs = [namespace[domain.entry_point](value) for value in values]
        assert outputs == [chains.apply((block,), value, domain) for value in values]
        behaviors.add(repr(outputs))
    assert len(behaviors) == len(domain.blocks) == 13


def test_known_answers_over_lists():
    numbers = [3, -1, 4, 3, 2, -5]
    expected = {
        2: [-5, 2, 3, 4, -1, 3],
        4: [4, 2],
        7: [3, 0, 4, 3, 2, 0],
        8: [3, 2, 6, 9, 11, 6],
        9: [3, -1, 4, 3, 2, -5, 4],
        10: [3, -1, 4, 2, -5],
        12: [3, -1, -4, 3, 2, 5],
    }
    for block, answer in expected.items():
        assert chains.apply((block,), numbers, DOMAINS["lists"]) == answer


def test_held_out_pairs_follow_one_another_in_no_training_chain(tmp_path):
    chains.write_chains(output=str(tmp_path), train_chains=900, held_out_pairs=30, seed=1)
    pairs = set(chains.held_out_pairs_of(1, 30))
    assert len(pairs) == 30
    for problem in records.read_jsonl(tmp_path / "chains-train.jsonl", records.Problem):
        assert not pairs & set(itertools.pairwise(problem.extra["chain"]))
        assert problem.extra["held_out_pairs"] == 0
    tested = list(records.read_jsonl(tmp_path / "chains-test.jsonl", records.Problem))
    assert any(problem.extra["held_out_pairs"] for problem in tested)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"domain": "trees"}, "domain is 'trees'; set it to one of strings, lists"),
        ({"held_out": (1,) * 14}, "expected 5 to 13 counts"),
        ({"held_out": (1, 157, 1, 1, 1)}, "none above the number of such chains"),
        ({"held_out": (1, -1, 1, 1, 1)}, "expected 5 to 13 counts"),
        ({"held_out_pairs": 79}, "held_out_pairs is 79; set it to 0 to 78"),
    ],
)
def test_settings_that_cannot_be_met_are_one_line(tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        chains.write_chains(output=str(tmp_path), **settings)
    assert list(tmp_path.iterdir()) == []
