"""The steps after reading: duplicates, contamination, secrets, licenses; and their explanation."""

import pytest

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.stats import FileStats

from .conftest import MIXED_FILES, write_tree


def test_every_file_is_kept_or_dropped_for_one_reason(tmp_path, problems):
    root = write_tree(tmp_path / "root", MIXED_FILES)
    cleaning = Cleaning(
        near_duplicates=0.8, licenses=("MIT",), secrets=True, decontaminate_against=(str(problems),)
    )
    stats, tree = FileStats(), SourceTree(path=str(root), languages=("*",))
    (python, rust) = Cleaner(cleaning).documents(tree, stats)
    assert (python.path, rust.path) == ("a.py", "e.rs")
    assert python.text.endswith("# by <EMAIL>\n")
    assert stats.accepted == {"Python": 1, "Rust": 1}
    assert stats.reasons() == {
        "exact duplicate": 1,
        "contaminated": 1,
        "generated": 1,
        "long line": 1,
    }
    assert stats.redacted == {"EMAIL": 1}
    assert stats.licenses == {"MIT": 4}
    assert stats.contaminated_tasks == {"T/1": 1}


@pytest.mark.parametrize("names", [["MITT"], ["MIT", "all"], [""], ["Classpath-exception-2.0"]])
def test_names_that_are_no_licenses_are_refused_at_once(names):
    with pytest.raises(InputError, match="which isn't an SPDX identifier"):
        Cleaning(licenses=names)


@pytest.mark.parametrize("names", [None, [], ["*"], ["unknown", "mit", "LicenseRef-Ours"]])
def test_licenses_that_can_be_allowed(names):
    assert Cleaning(licenses=names).licenses == names


@pytest.mark.parametrize("similarity", [0.0, -1.0, 2.0, float("nan")])
def test_a_similarity_that_tells_no_texts_apart_is_refused(similarity):
    with pytest.raises(InputError, match=r"Cleaning\.near_duplicates is .*above 0 and at most 1"):
        Cleaning(near_duplicates=similarity)
