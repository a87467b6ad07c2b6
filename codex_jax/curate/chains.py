"""Chains of string building blocks, the paper's probe of compositional ability (appendix C).

A chain is a tuple of distinct block indices. Its problem describes the blocks one after the other;
its tests compare literal strings, computed from the reference solution.
"""

import itertools
import pathlib
import random
import string
from collections.abc import Iterator, Sequence

from codex_jax import InputError, files, records

ENTRY_POINT = "string_manipulation"
LENGTHS = (1, 2, 3, 4, 5)

Chain = tuple[int, ...]

# The paper's thirteen blocks: (text of the docstring, line of code).
BLOCKS: tuple[tuple[str, str], ...] = (
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

_CODE = tuple(compile(line, "block", "exec") for _, line in BLOCKS)

_PROMPT = '''def {entry_point}(s: str):
    """
    This function takes a string as input, then returns the result of performing
    the following sequence of manipulations on that string:
{steps}
    """
'''


def prompt(chain: Chain) -> str:
    """Returns the function header and docstring that describe the chain, as in the paper."""
    steps = "\n".join(f"    -{BLOCKS[block][0]}" for block in chain)
    return _PROMPT.format(entry_point=ENTRY_POINT, steps=steps)


def solution(chain: Chain) -> str:
    """Returns the reference body: each block's line in order, then the return."""
    return "".join(f"    {BLOCKS[block][1]}\n" for block in chain) + "    return s\n"


def apply(chain: Chain, text: str) -> str:
    """Computes the reference solution's output for `text`."""
    scope: dict[str, str] = {"s": text}
    for block in chain:
        exec(_CODE[block], scope)
    return scope["s"]


def problem(chain: Chain, *, task_id: str, seed: int, cases: int = 8) -> records.Problem:
    """Builds a HumanEval-format problem whose tests are `cases` long random strings."""
    rng = random.Random(f"{seed}/{chain}")
    asserts = []
    for _ in range(cases):
        text = random_text(rng)
        asserts.append(f"    assert candidate({text!r}) == {apply(chain, text)!r}\n")
    return records.Problem(
        task_id=task_id,
        prompt=prompt(chain),
        entry_point=ENTRY_POINT,
        test="def check(candidate):\n" + "".join(asserts),
        canonical_solution=solution(chain),
        extra={"blocks": len(chain), "chain": list(chain)},
    )


def random_text(rng: random.Random) -> str:
    """Returns words with punctuation, long enough that unequal chains can't agree by chance."""
    letters = string.ascii_lowercase + "eeaiou" + string.ascii_uppercase
    words = []
    for _ in range(rng.randint(20, 32)):
        word = "".join(rng.choices(letters, k=rng.randint(2, 9)))
        words.append(word + rng.choice(["", "", "", "!", "?", "."]))
    return " ".join(words)


def split(
    *, seed: int, train_chains: int, held_out: Sequence[int]
) -> tuple[list[Chain], list[Chain]]:
    """Splits chains into disjoint training and test sets; both have every length.

    All one- and two-block chains that aren't held out are for training, because they are few;
    the rest of `train_chains` is drawn in equal parts from the longer ones.
    """
    rng = random.Random(seed)
    test: list[Chain] = []
    for length, count in zip(LENGTHS, held_out, strict=True):
        test += sorted(_draw(rng, length=length, count=count, without=set()))
    without = set(test)
    train = [c for length in (1, 2) for c in _all_chains(length) if c not in without]
    longer = LENGTHS[2:]
    for index, length in enumerate(longer):
        share = (train_chains - len(train)) // (len(longer) - index)
        train += sorted(_draw(rng, length=length, count=share, without=without))
    return train, test


def _all_chains(length: int) -> Iterator[Chain]:
    return itertools.permutations(range(len(BLOCKS)), length)


def _draw(rng: random.Random, *, length: int, count: int, without: set[Chain]) -> list[Chain]:
    drawable = [chain for chain in _all_chains(length) if chain not in without]
    return rng.sample(drawable, min(max(count, 0), len(drawable)))


def _problems(chains: list[Chain], seed: int) -> Iterator[records.Problem]:
    numbers = {length: itertools.count() for length in LENGTHS}
    for chain in chains:
        length = len(chain)
        yield problem(chain, task_id=f"chains/{length}/{next(numbers[length]):04d}", seed=seed)


def write_chains(
    *,
    output: str,
    seed: int = 0,
    train_chains: int = 6000,
    held_out: Sequence[int] = (5, 20, 20, 20, 20),
) -> None:
    """Writes the chains' problems and a folder of training programs, the same bytes for a seed.

    `output` receives chains-train.jsonl and chains-test.jsonl (HumanEval format) and train/, one
    `.py` file for each training chain: prompt and solution as one document, without its tests.

    Args:
      output: folder to write into.
      seed: decides which chains are held out and what the test strings are.
      train_chains: how many chains of one to five blocks are for training.
      held_out: how many test chains there are of one, two, three, four and five blocks.

    Raises:
      InputError: the counts can't be met.
    """
    if len(held_out) != len(LENGTHS) or not 0 <= held_out[0] < len(BLOCKS):
        raise InputError(
            f"held_out={tuple(held_out)}; expected {len(LENGTHS)} counts, the first below "
            f"{len(BLOCKS)}; set held_out to such counts"
        )
    train, test = split(seed=seed, train_chains=train_chains, held_out=held_out)
    folder = pathlib.Path(output)
    _claim(folder)
    _write_programs(folder / "train", train)
    records.write_jsonl(folder / "chains-train.jsonl", _problems(train, seed))
    records.write_jsonl(folder / "chains-test.jsonl", _problems(test, seed))
    print(f"{folder}: {len(train)} chains for training, {len(test)} held out")


def _claim(folder: pathlib.Path) -> None:
    """Raises InputError where anything but chains is in the folders to write."""
    is_chains = files.has_text('{"task_id": "chains/')
    own = {"chains-train.jsonl": is_chains, "chains-test.jsonl": is_chains}
    files.claim_folder(folder, {**own, "train": pathlib.Path.is_dir}, "output")
    lengths = {str(length): pathlib.Path.is_dir for length in LENGTHS}
    files.claim_folder(folder / "train", lengths, "output")
    for length in lengths:
        programs = {"*[0-9].py": files.has_text("def string_manipulation(s: str):")}
        files.claim_folder(folder / "train" / length, programs, "output")


def _write_programs(folder: pathlib.Path, chains: list[Chain]) -> None:
    for length in LENGTHS:
        (folder / str(length)).mkdir(parents=True, exist_ok=True)
    paths = {folder / str(len(c)) / f"{'-'.join(map(str, c))}.py": c for c in chains}
    for stale in set(folder.glob("*/*.py")) - set(paths):
        stale.unlink()
    for path, chain in paths.items():
        files.atomic_write(path, prompt(chain) + solution(chain))
