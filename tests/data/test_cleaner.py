"""The steps after reading: duplicates, contamination, secrets, licences; and their explanation."""

import json
import pathlib
import random
import shutil

import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning, Tally
from codex_jax.data.cleaning.decontamination import Contamination
from codex_jax.data.cleaning.filters import Filters
from codex_jax.data.cleaning.pii import replace_secrets
from codex_jax.data.corpus import Tree, list_files
from codex_jax.data.dedup.minhash import Duplicates
from codex_jax.data.explain import explain
from codex_jax.data.readers.files import read_files
from codex_jax.data.readers.licenses import Licences

from .conftest import module_text, write_tree

WORDS = [f"word{n}" for n in range(500)]
MIT = """MIT License

Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def _text(seed: int, changed: float = 0.0) -> str:
    rng, other = random.Random(seed), random.Random(seed + 1)
    words = rng.choices(WORDS, k=1000)
    return " ".join(other.choice(WORDS) if other.random() < changed else word for word in words)


def test_exact_duplicates_but_for_whitespace():
    duplicates = Duplicates()
    assert duplicates.find("a = 1\n") == ""
    assert duplicates.find("a = 1\n\n") == "exact duplicate"
    assert duplicates.find("a = 2\n") == ""


def test_near_duplicates_are_those_over_the_threshold():
    duplicates = Duplicates(near=0.85)
    assert duplicates.find(_text(1)) == ""
    assert duplicates.find(_text(1, changed=0.005)) == "near duplicate"
    assert duplicates.find(_text(1, changed=0.2)) == ""
    assert not any(duplicates.find(_text(seed)) for seed in range(2, 40))
    assert duplicates.find("x y") == duplicates.find("z w") == ""


@pytest.fixture
def problems(tmp_path):
    problem = {
        "task_id": "T/1",
        "prompt": "def mean_deviation(numbers):\n    one two three four five six seven\n",
        "canonical_solution": "    return sum(abs(x - mean) for x in numbers) / len(numbers)\n",
        "entry_point": "mean_deviation",
    }
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(problem) + "\n")
    return path


def test_contamination_needs_thirteen_words_in_a_row(problems):
    contamination = Contamination([problems])
    solution = "return sum(abs(x - mean) for x in numbers) / len(numbers)"
    assert contamination.find(f"x = 3\nfive six seven\n{solution} # more") == "T/1"
    assert contamination.find(solution) == ""
    assert contamination.find("short") == contamination.find("") == ""
    assert contamination.names("def mean_deviation(x): ...") == ["T/1"]
    assert contamination.names("def mean_deviations(x): ...") == []


def test_problems_may_be_multipl_es(tmp_path):
    path = tmp_path / "problems.jsonl"
    words = " ".join(WORDS[:20])
    path.write_text(json.dumps({"name": "HumanEval_1_f", "language": "rs", "prompt": words}))
    assert Contamination([path]).find(f"x {words} y") == "HumanEval_1_f"
    path.write_text('{"prompt": "x"}')
    with pytest.raises(InputError, match=":1: Problem lacks task_id"):
        Contamination([path])
    with pytest.raises(InputError, match="no such file"):
        Contamination([tmp_path / "gone"])


def test_secrets_are_replaced_by_their_kind():
    text = (
        'mail = "ann.b@example.co.uk"\n'
        "key = 'AKIAIOSFODNN7EXAMPLE'\n"
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\n"
        "@decorator\nuser@host\na @ b.c\n"
    )
    clean, counts = replace_secrets(text)
    assert counts == {"EMAIL": 1, "AWS_KEY": 1, "PRIVATE_KEY": 1}
    assert "<EMAIL>" in clean and "MIIE" not in clean and "AKIA" not in clean
    assert "@decorator\nuser@host\na @ b.c\n" in clean
    assert replace_secrets(clean) == (clean, {})


def test_the_nearest_licence_file_counts_unless_the_file_says_otherwise(tmp_path):
    root = write_tree(tmp_path, {"a/LICENSE": MIT, "a/b/c.py": "", "d.py": ""})
    licences = Licences(root, ["MIT", "Apache-2.0"])
    assert licences.of("a/b/c.py", "") == "MIT"
    assert licences.of("d.py", "") == "unknown"
    assert licences.of("a/b/c.py", "# SPDX-License-Identifier: GPL-3.0-only\n") == "GPL-3.0-only"
    assert licences.of("d.py", "/* SPDX-License-Identifier: MIT */") == "MIT"
    assert licences.of("d.py", "", "BSD-3-Clause") == "BSD-3-Clause"


@pytest.mark.parametrize(
    ("said", "spdx"),
    [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("BSD-3-clause or Apache-2.0", "BSD-3-Clause OR Apache-2.0"),
        ("GPL-1+ or Artistic-1.0-Perl", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
        ("GPL-3.0-or-later and Zlib", "GPL-3.0-or-later AND Zlib"),
    ],
)
def test_a_debian_package_tells_its_licence(tmp_path, said, spdx):
    text = f"Format: 1.0\n\nFiles: *\nCopyright: 2020 A\n 2021 B\nLicense: {said}\n"
    text += "\nFiles: debian/*\nLicense: MIT\n"
    files = {"pkg/usr/share/doc/pkg/copyright": text, "pkg/usr/include/a/b.h": "", "other/c.h": ""}
    licences = Licences(write_tree(tmp_path, files), None)
    assert licences.of("pkg/usr/include/a/b.h", "") == spdx
    assert licences.of("other/c.h", "") == "unknown"


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_an_archive_s_licence_is_that_of_its_files(tmp_path, suffix):
    shutil.make_archive(
        str(tmp_path / "a"),
        "zip" if suffix == "zip" else "gztar",
        write_tree(tmp_path / "in", {"x/LICENSE": MIT, "x/a.py": "b = 1", "x/z/c.py": "d = 2"}),
    )
    tree = Tree(path=str(tmp_path), languages=("Python",), containers=("archives",))
    entries = [entry for entry in list_files(tree) if entry[0] == f"a.{suffix}"]
    found = {pathlib.Path(file.path).name: file.licence for file in read_files(tree, entries)}
    assert found["a.py"] == found["c.py"] == "MIT"


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("Apache-2.0 AND MIT", True),
        ("unknown", False),
        ("not a licence (", False),
    ],
)
def test_allow_lists_read_expressions(tmp_path, licence, allowed):
    assert Licences(tmp_path, ["MIT", "Apache-2.0"]).allows(licence) is allowed
    assert Licences(tmp_path, ["unknown"]).allows("unknown")
    assert Licences(tmp_path, ["*"]).allows(licence)


def test_an_unknown_identifier_is_refused(tmp_path):
    with pytest.raises(InputError, match="'MITT' isn't an SPDX identifier"):
        Licences(tmp_path, ["MITT"])


FILES = {
    "LICENSE": MIT,
    "a.py": module_text(3) + "# by ann@example.org\n",
    "b.py": module_text(3) + "# by ann@example.org\n\n",
    "c.py": "# one two three four five six seven\n"
    "return sum(abs(x - mean) for x in numbers) / len(numbers)\n",
    "d.py": "# Generated by a tool\nx = 1\n",
    "e.rs": "fn f() {}\n",
    "f.py": "x = " + "1" * 2000 + "\n",
}


def test_every_file_is_kept_or_dropped_for_one_reason(tmp_path, problems):
    root = write_tree(tmp_path / "root", FILES)
    cleaning = Cleaning(
        near_duplicates=0.8, licences=("MIT",), secrets=True, against=(str(problems),)
    )
    tally, tree = Tally(), Tree(path=str(root), languages=("*",))
    (kept, rust) = Cleaner(cleaning).documents(tree, tally)
    assert (kept.path, rust.path) == ("a.py", "e.rs")
    assert kept.text.endswith("# by <EMAIL>\n")
    assert tally.kept == {"Python": 1, "Rust": 1}
    assert tally.reasons() == {
        "exact duplicate": 1,
        "contaminated": 1,
        "generated": 1,
        "long line": 1,
    }
    assert tally.replaced == {"EMAIL": 1}
    assert tally.licences == {"MIT": 4}
    assert tally.tasks_hit == {"T/1": 1}


def test_explain_shows_every_step_of_one_file(tmp_path):
    root = write_tree(tmp_path, FILES)
    page = explain(file=root / "f.py")
    assert "long line" in page and "2004 characters" in page and "DROPPED" in page
    assert "dropped" not in explain(file=root / "a.py").lower()
    assert "Generated by" in explain(file=root / "d.py")
    with pytest.raises(InputError, match="no such file"):
        explain(file=root / "gone.py")
    with pytest.raises(InputError, match="no language we know"):
        explain(file=root / "LICENSE")


def test_a_file_of_a_corpus_is_explained_as_that_corpus_sees_it(tmp_path, tokenizer_file, capsys):
    root = write_tree(tmp_path / "root", FILES)
    settings = {
        "corpus": {"all": Tree(path=str(root), languages=("*",)), "py": Tree(path=str(root))},
        "tokenizer": tokenizer_file,
        "output": tmp_path / "c",
        "sequence_length": 64,
        "cleaning": Cleaning(filters=Filters(longest_line=3000, mean_line=3000)),
    }
    build(**settings)
    capsys.readouterr()
    assert build(**settings, explain=str(root / "b.py")) is None
    page = capsys.readouterr().out
    assert "all: b.py" in page and "py: b.py" in page
    assert page.count("in c") == 2 and page.count("DROPPED  exact duplicate") == 2
    build(**settings, explain=str(root / "f.py"))
    assert "2004 characters" in (page := capsys.readouterr().out)
    assert page.splitlines()[2].split()[2:4] == ["line", "stays"]
    build(**settings, explain=str(root / "e.rs"))
    assert "not selected" in capsys.readouterr().out
    with pytest.raises(InputError, match="in none of the corpus's directories"):
        build(**settings, explain=str(tokenizer_file))
    with pytest.raises(InputError, match="no such file"):
        build(**settings, explain="gone.py")
