"""Near duplicates are those of brute force, and names and layout don't matter."""

import itertools
import random

import pytest

from codex_jax.curate.filters import near_duplicates

CODE = '''def count(text, letter):
    """Counts."""
    total = 0  # so far
    for char in text:
        if char == letter:
            total += 1
    return total
'''
RENAMED = """def number_of(
  s, c
):
  n = 0
  for x in s:
    if x == c: n += 1
  return n
"""


def test_names_layout_comments_and_docstrings_are_ignored():
    left, right = map(near_duplicates.code_tokens, (CODE, RENAMED))
    assert left == right
    assert left[:2] == ["def", "v0"]
    other = near_duplicates.code_tokens(CODE.replace("+= 1", "+= 2"))
    assert other != left


def test_pairs_are_those_of_brute_force():
    rng = random.Random(0)
    base = [list(rng.choices("abcdefgh", k=30)) for _ in range(12)]
    programs = []
    for tokens in base * 4:
        changed = list(tokens)
        for _ in range(rng.randrange(3)):
            changed[rng.randrange(30)] = rng.choice("xyz")
        programs.append(changed)
    sets = list(map(near_duplicates.shingles, programs))
    duplicates = dict(near_duplicates.find_near_duplicates(sets, 0.6))
    kept = [i for i in range(len(sets)) if i not in duplicates]
    for index, other in duplicates.items():
        assert other < index
        assert near_duplicates._similarity(sets[index], sets[other]) >= 0.6
    for left, right in itertools.combinations(kept, 2):
        assert near_duplicates._similarity(sets[left], sets[right]) < 0.6


@pytest.mark.parametrize(
    ("source", "tokens"),
    [
        ("def f(:\n", ["def", "v0", "(", ":"]),
        ("x = 'unterminated", ["v0", "="]),
        ("  x\n y\n", ["v0"]),
    ],
)
def test_what_does_not_parse_has_tokens_up_to_there(source, tokens):
    assert near_duplicates.code_tokens(source) == tokens
    assert near_duplicates.shingles(tokens) == {tuple(tokens)}
