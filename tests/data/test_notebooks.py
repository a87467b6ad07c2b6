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


def test_the_language_is_the_kernels_in_any_format(tmp_path):
    code = [{"cell_type": "code", "source": ["f <-", " 1"], "metadata": {}, "outputs": []}]
    old = [{"cell_type": "heading", "level": 2, "source": "Adds two numbers."}]
    old += [{"cell_type": "code", "input": "puts 1 + 1", "language": "ruby", "outputs": []}]
    metadata = {
        "a": {"language_info": {"name": "javascript"}, "kernelspec": {"name": "python3"}},
        "b": {"kernelspec": {"name": "xcpp17", "display_name": "C++17"}},
        "c": {"kernelspec": {"name": "my-env", "display_name": "Python [conda env:x]"}},
        "d": {},
        "e": {"kernelspec": {"name": "ir", "display_name": "R"}},
    }
    pages = {
        f"{name}.ipynb": json.dumps({"nbformat": 4, "cells": code, "metadata": fields})
        for name, fields in metadata.items()
    }
    pages["f.ipynb"] = json.dumps({"nbformat": 3, "worksheets": [{"cells": old}], "metadata": {}})
    write_tree(tmp_path, pages)
    good, reasons = read_tree(tmp_path)
    languages = [file.language for file in good.values()]
    assert languages == ["JavaScript", "C++", "Python", "Python", "Ruby"]
    assert good["f.ipynb"].pairs[0].prose == "## Adds two numbers."
    assert reasons == {"unknown language": 1}


def test_cells_in_other_languages_are_files_of_their_own(tmp_path):
    cells = [
        ("markdown", "Lists the folder, in two ways."),
        ("code", "import os\nos.listdir()"),
        ("code", "%%bash\nls -l | wc -l"),
        ("code", "%%html\n<b>no</b>"),
    ]
    write_tree(tmp_path, {"a.ipynb": _notebook(cells)})
    good, _ = read_tree(tmp_path)
    assert {name: file.language for name, file in good.items()} == {
        "a.ipynb": "Python",
        "a.ipynb#Shell": "Shell",
    }
    assert good["a.ipynb#Shell"].pairs[0].code == "ls -l | wc -l"
    assert list(read_tree(tmp_path, languages=["Shell"])[0]) == ["a.ipynb#Shell"]


def test_a_notebook_with_half_a_surrogate_pair_is_no_text(tmp_path):
    write_tree(tmp_path, {"a.ipynb": _notebook([("code", "x = '\ud800'"), ("markdown", "a")])})
    stats = FileStats()
    tree = SourceTree(path=str(tmp_path), open=("notebooks",))
    assert list(Cleaner(Cleaning()).documents(tree, stats)) == []
    assert stats.reasons() == {"not UTF-8": 1}


def test_a_byte_order_mark_and_cells_without_source_cost_nothing(tmp_path):
    cells = [{"cell_type": "code"}, {"cell_type": "code", "source": None}]
    cells += [{"cell_type": "code", "source": []}, {"cell_type": "code", "source": ["a = ", "1"]}]
    content = json.dumps({"cells": cells}).encode()
    write_tree(tmp_path, {"a.ipynb": b"\xef\xbb\xbf" + content})
    good, reasons = read_tree(tmp_path)
    assert [pair.code for pair in good["a.ipynb"].pairs] == ["a = 1"]
    assert not reasons


@pytest.mark.parametrize("source", [3, [1], {"a": "b"}, [None]])
def test_a_source_that_is_no_text_is_not_made_one(tmp_path, source):
    cells = [{"cell_type": "code", "source": "a = 1"}, {"cell_type": "markdown", "source": source}]
    write_tree(tmp_path, {"a.ipynb": json.dumps({"cells": cells})})
    good, reasons = read_tree(tmp_path)
    assert not good
    assert reasons == {"not a notebook": 1}


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
