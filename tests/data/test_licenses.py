"""The license of each file, and which licenses an allow-list admits."""

import pathlib
import shutil

import pytest

from codex_jax import InputError
from codex_jax.data.corpus import SourceTree, list_files
from codex_jax.data.readers.files import read_files
from codex_jax.data.readers.licenses import Licenses

from .conftest import MIT, write_tree


def test_the_nearest_licence_file_counts_unless_the_file_says_otherwise(tmp_path):
    root = write_tree(tmp_path, {"a/LICENSE": MIT, "a/b/c.py": "", "d.py": ""})
    licenses = Licenses(root, ["MIT", "Apache-2.0"])
    assert licenses.license_of("a/b/c.py", "") == "MIT"
    assert licenses.license_of("d.py", "") == "unknown"
    assert (
        licenses.license_of("a/b/c.py", "# SPDX-License-Identifier: GPL-3.0-only\n")
        == "GPL-3.0-only"
    )
    assert licenses.license_of("d.py", "/* SPDX-License-Identifier: MIT */") == "MIT"
    assert licenses.license_of("d.py", "", "BSD-3-Clause") == "BSD-3-Clause"


@pytest.mark.parametrize(
    ("declared", "spdx"),
    [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("BSD-3-clause or Apache-2.0", "BSD-3-Clause OR Apache-2.0"),
        ("GPL-1+ or Artistic-1.0-Perl", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
        ("GPL-3.0-or-later and Zlib", "GPL-3.0-or-later AND Zlib"),
    ],
)
def test_a_debian_package_tells_its_licence(tmp_path, declared, spdx):
    text = f"Format: 1.0\n\nFiles: *\nCopyright: 2020 A\n 2021 B\nLicense: {declared}\n"
    text += "\nFiles: debian/*\nLicense: MIT\n"
    files = {"pkg/usr/share/doc/pkg/copyright": text, "pkg/usr/include/a/b.h": "", "other/c.h": ""}
    licenses = Licenses(write_tree(tmp_path, files), None)
    assert licenses.license_of("pkg/usr/include/a/b.h", "") == spdx
    assert licenses.license_of("other/c.h", "") == "unknown"


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_an_archive_s_licence_is_that_of_its_files(tmp_path, suffix):
    shutil.make_archive(
        str(tmp_path / "a"),
        "zip" if suffix == "zip" else "gztar",
        write_tree(tmp_path / "in", {"x/LICENSE": MIT, "x/a.py": "b = 1", "x/z/c.py": "d = 2"}),
    )
    tree = SourceTree(path=str(tmp_path), languages=("Python",), open=("archives",))
    entries = [entry for entry in list_files(tree) if entry[0] == f"a.{suffix}"]
    licenses = {pathlib.Path(file.path).name: file.license for file in read_files(tree, entries)}
    assert licenses["a.py"] == licenses["c.py"] == "MIT"


@pytest.mark.parametrize(
    ("license", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("Apache-2.0 AND MIT", True),
        ("unknown", False),
        ("not a license (", False),
    ],
)
def test_allow_lists_read_expressions(tmp_path, license, allowed):
    assert Licenses(tmp_path, ["MIT", "Apache-2.0"]).allows(license) is allowed
    assert Licenses(tmp_path, ["unknown"]).allows("unknown")
    assert Licenses(tmp_path, ["*"]).allows(license)


def test_an_unknown_identifier_is_refused(tmp_path):
    with pytest.raises(InputError, match="'MITT' isn't an SPDX identifier"):
        Licenses(tmp_path, ["MITT"])
