"""Chains of building blocks, the paper's probe of compositional ability (appendix C).

A chain is a tuple of distinct block indices. Its problem describes the blocks one after the other;
its tests compare literal strings, computed from the reference solution.
"""

import collections
import itertools
import math
import pathlib
import random
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from codex_jax import InputError, files, ranges, records
from codex_jax.curate.blocks import DOMAINS, STRINGS, Domain

LENGTHS = (1, 2, 3, 4, 5)  # of chains that are trained on
MAX_LENGTH = 13
_RANGES = {"train_chains": ranges.integer(0)}

Chain = tuple[int, ...]

_PROMPT = '''def {entry_point}({argument}: {annotation}):
    """
    This function takes a {noun} as input, then returns the result of performing
    the following sequence of manipulations on that {noun}:
{steps}
    """
'''


def prompt(chain: Chain, domain: Domain = STRINGS) -> str:
    """Returns the function header and docstring that describe the chain, as in the paper."""
    steps = "\n".join(f"    -{domain.blocks[block][0]}" for block in chain)
    return _PROMPT.format(
        entry_point=domain.entry_point,
        argument=domain.argument,
        annotation=domain.annotation,
        noun=domain.noun,
        steps=steps,
    )


def solution(chain: Chain, domain: Domain = STRINGS) -> str:
    """Returns the reference body: each block's line in order, then the return."""
    lines = "".join(f"    {domain.blocks[block][1]}\n" for block in chain)
    return f"{lines}    return {domain.argument}\n"


def apply(chain: Chain, value: Any, domain: Domain = STRINGS) -> Any:
    """Computes the reference solution's output for `value`."""
    scope: dict[str, Any] = {domain.argument: value}
    for block in chain:
        exec(domain.code[block], scope)
    return scope[domain.argument]


def problem(
    chain: Chain, *, task_id: str, seed: int, cases: int = 8, domain: Domain = STRINGS
) -> records.Problem:
    """Builds a HumanEval-format problem whose tests are `cases` long random values."""
    rng = random.Random(f"{seed}/{chain}")
    asserts = []
    for _ in range(cases):
        value = domain.random_value(rng)
        asserts.append(f"    assert candidate({value!r}) == {apply(chain, value, domain)!r}\n")
    return records.Problem(
        task_id=task_id,
        prompt=prompt(chain, domain),
        entry_point=domain.entry_point,
        test="def check(candidate):\n" + "".join(asserts),
        canonical_solution=solution(chain, domain),
        extra={"blocks": len(chain), "chain": list(chain)},
    )


def split(
    *,
    seed: int,
    train_chains: int,
    held_out: Sequence[int],
    held_out_pairs: int = 0,
    domain: Domain = STRINGS,
) -> tuple[list[Chain], list[Chain]]:
    """Splits chains into disjoint training and test sets.

    All one- and two-block chains that aren't held out are for training, because they are few;
    the rest of `train_chains` is drawn in equal parts from the longer ones, up to five blocks.
    """
    rng = random.Random(seed)
    blocks = len(domain.blocks)
    test: list[Chain] = []
    for length, count in enumerate(held_out, 1):
        test += sorted(_draw(rng, blocks, length=length, count=count, without=set()))
    without = set(test)
    pairs = set(held_out_pairs_of(seed, held_out_pairs, domain))
    short = [c for length in (1, 2) for c in itertools.permutations(range(blocks), length)]
    train = [c for c in short if c not in without | pairs]
    longer = LENGTHS[2:]
    for index, length in enumerate(longer):
        share = (train_chains - len(train)) // (len(longer) - index)
        drawn = _draw(rng, blocks, length=length, count=share, without=without, pairs=pairs)
        train += sorted(drawn)
    return train, test


def held_out_pairs_of(seed: int, count: int, domain: Domain = STRINGS) -> list[Chain]:
    """Draws pairs of blocks that follow one another in no training chain."""
    rng = random.Random(f"pairs/{seed}")
    return rng.sample(list(itertools.permutations(range(len(domain.blocks)), 2)), count)


def _draw(
    rng: random.Random,
    blocks: int,
    *,
    length: int,
    count: int,
    without: set[Chain],
    pairs: Collection[Chain] = (),
) -> list[Chain]:
    """Draws distinct chains of a length that contain none of `pairs`."""
    if length > max(LENGTHS):  # too many to list
        drawn: dict[Chain, None] = {}
        while len(drawn) < count:
            drawn.setdefault(tuple(rng.sample(range(blocks), length)))
        return list(drawn)
    drawable = [
        chain
        for chain in itertools.permutations(range(blocks), length)
        if chain not in without and not (pairs and set(itertools.pairwise(chain)) & set(pairs))
    ]
    return rng.sample(drawable, min(max(count, 0), len(drawable)))


def _problems(
    chains: list[Chain], seed: int, domain: Domain, pairs: Collection[Chain]
) -> Iterator[records.Problem]:
    numbers: collections.Counter[int] = collections.Counter()
    for chain in chains:
        length, number = len(chain), numbers[len(chain)]
        numbers[length] += 1
        task_id = f"{domain.prefix}/{length}/{number:04d}"
        entry = problem(chain, task_id=task_id, seed=seed, domain=domain)
        if pairs:
            new = sum(pair in pairs for pair in itertools.pairwise(chain))
            entry.extra["held_out_pairs"] = new
        yield entry


def write_chains(
    *,
    output: str,
    seed: int = 0,
    domain: str = "strings",
    train_chains: int = 6000,
    held_out: Sequence[int] = (5, 20, 20, 20, 20),
    held_out_pairs: int = 0,
) -> None:
    """Writes the chains' problems and a folder of training programs, the same bytes for a seed.

    `output` receives chains-train.jsonl and chains-test.jsonl (HumanEval format) and train/, one
    `.py` file for each training chain: prompt and solution as one document, without its tests.

    Args:
      output: folder to write into.
      seed: decides which chains are held out and what the tests' values are.
      domain: "strings" (the paper's blocks) or "lists" (of integers).
      train_chains: how many chains of one to five blocks are for training; all of one or two are,
        also where that is more.
      held_out: how many test chains there are of one block, two, and so on; at most 13 counts.
      held_out_pairs: how many pairs of blocks follow one another in no training chain. Test
        problems say how many of them they contain.

    Raises:
      InputError: the counts can't be met.
    """
    if domain not in DOMAINS:
        raise InputError(f"domain is {domain!r}; set it to one of {', '.join(DOMAINS)}")
    ranges.check("curate.chains", {"train_chains": train_chains}, _RANGES)
    table = DOMAINS[domain]
    _check_counts(held_out, held_out_pairs, table)
    settings: dict[str, Any] = {"held_out": held_out, "held_out_pairs": held_out_pairs}
    train, test = split(seed=seed, train_chains=train_chains, domain=table, **settings)
    if len(train) < train_chains:
        raise InputError(
            f"train_chains is {train_chains}; there are only {len(train)}, in equal parts of "
            "three, four and five blocks after those of one and two; set train_chains lower"
        )
    pairs = held_out_pairs_of(seed, held_out_pairs, table)
    folder = pathlib.Path(output)
    _claim(folder, table)
    _write_programs(folder / "train", train, table)
    records.write_jsonl(folder / "chains-train.jsonl", _problems(train, seed, table, pairs))
    records.write_jsonl(folder / "chains-test.jsonl", _problems(test, seed, table, pairs))
    print(f"{folder}: {len(train)} chains for training, {len(test)} held out")


def _check_counts(held_out: Sequence[int], held_out_pairs: int, domain: Domain) -> None:
    blocks = len(domain.blocks)
    shortest = len(LENGTHS)
    is_met = all(
        0 <= count <= math.perm(blocks, length) for length, count in enumerate(held_out, 1)
    )
    if not shortest <= len(held_out) <= MAX_LENGTH or not is_met or held_out[0] >= blocks:
        raise InputError(
            f"held_out={tuple(held_out)}; expected {shortest} to {MAX_LENGTH} counts, the first "
            f"below {blocks}, none above the number of such chains; set held_out to such counts"
        )
    most = blocks * (blocks - 1) // 2
    if not 0 <= held_out_pairs <= most:
        raise InputError(f"held_out_pairs is {held_out_pairs}; set it to 0 to {most}")


def _claim(folder: pathlib.Path, domain: Domain) -> None:
    """Raises InputError where anything but chains of the domain is in the folders to write."""
    is_chains = files.has_text(f'{{"task_id": "{domain.prefix}/')
    own = {"chains-train.jsonl": is_chains, "chains-test.jsonl": is_chains}
    files.claim_folder(folder, {**own, "train": pathlib.Path.is_dir}, "output")
    lengths = {str(length): pathlib.Path.is_dir for length in LENGTHS}
    files.claim_folder(folder / "train", lengths, "output")
    for length in lengths:
        programs = {"*[0-9].py": files.has_text(f"def {domain.entry_point}({domain.argument}: ")}
        files.claim_folder(folder / "train" / length, programs, "output")


def _write_programs(folder: pathlib.Path, chains: list[Chain], domain: Domain) -> None:
    for length in LENGTHS:
        (folder / str(length)).mkdir(parents=True, exist_ok=True)
    paths = {folder / str(len(c)) / f"{'-'.join(map(str, c))}.py": c for c in chains}
    for stale in set(folder.glob("*/*.py")) - set(paths):
        stale.unlink()
    for path, chain in paths.items():
        files.atomic_write(path, prompt(chain, domain) + solution(chain, domain))
