"""Notebooks become pairs of prose and code."""

import json

import pytest

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.stats import FileStats

from .conftest import read_tree, write_tree


def _notebook(cells, language="python"):
    cells = [
        {"cell_type": cell_type, "source": source, "metadata": {}} for cell_type, source in cells
    ]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    kernel = {"name": "k", "display_name": "K", "language": language}
    page = {"nbformat": 4, "nbformat_minor": 4, "cells": cells, "metadata": {"kernelspec": kernel}}
    return json.dumps(page)


def test_markdown_is_matched_to_the_cells_below_it(tmp_path):
    cells = [
        ("code", "import os\n%matplotlib inline"),
        ("markdown", "# Sum"),
        ("markdown", "Add two."),
        ("code", "1 + 1"),
        ("code", "!ls\n2 + 2"),
        ("markdown", "The end."),
    ]
    write_tree(tmp_path, {"a.ipynb": _notebook(cells)})
    (file,) = read_tree(tmp_path)[0].values()
    pairs = [(pair.prose, pair.code) for pair in file.pairs]
    assert pairs == [("", "import os"), ("# Sum\n\nAdd two.", "1 + 1\n\n2 + 2")]
    assert file.language == "Python"


@pytest.mark.parametrize(
    "content",
    ["not json", "[1]", '{"cells": 3}', "[" * 100_000, b"\xff\xfe", _notebook([], "cobol"), "{}"],
)
def test_a_file_that_is_no_notebook(tmp_path, content):
    write_tree(tmp_path, {"a.ipynb": content})
    good, reasons = read_tree(tmp_path)
    assert not good
    assert reasons.total() == 1


def test_pairs_of_a_container_are_text_like_any_other(tmp_path):
    write_tree(tmp_path, {"a.ipynb": _notebook([("markdown", "Add two."), ("code", "1 + 1")])})
    tree = SourceTree(path=str(tmp_path), open=("notebooks",))
    (document,) = Cleaner(Cleaning()).documents(tree, FileStats())
    assert document.text == "# Add two.\n1 + 1\n"
