"""Names and docstrings are in the field's words, within limits measured on other projects."""

import ast

import pytest

from tests.plain_words import check, check_folder
from tests.test_architecture import ROOT

# folder: vague variables in 1,000 lines, percent of docstrings that begin with a clause
LIMITS = {"codex_jax": (3.0, 1.0), "tests": (5.0, 1.0), "benchmarks": (5.0, 1.0)}


@pytest.mark.parametrize("folder", LIMITS)
def test_words_are_plain(folder):
    words = check_folder(ROOT / folder)
    variables, percent = LIMITS[folder]
    assert 1000 * len(words.texts("variable")) / words.lines <= variables, words.texts("variable")
    clauses = words.texts("docstring")
    assert 100 * len(clauses) / words.docstrings <= percent, "\n".join(clauses)
    assert not words.texts("function")
    assert not words.texts("message")


def test_faults_are_named():
    source = '''
def opened(given):
    """What it opens."""
    raise InputError(f"turn --fast off, or {given}: turn it around")
'''
    faults = {category for category, _, _ in check(ast.parse(source))}
    assert faults == {"function", "variable", "docstring", "message"}


def test_plain_code_has_no_fault():
    source = '''
def open_file(path):
    """Opens a file; towards the end it may turn on buffering."""
    raise InputError("set --fast to False, or turn off the cache")
'''
    assert list(check(ast.parse(source))) == []
