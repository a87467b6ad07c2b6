"""The license of each file, and which licenses an allow-list admits."""

import os
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


@pytest.mark.parametrize(
    ("license", "allowed"),
    [("mit", True), ("Apache-2.0+", True), ("LicenseRef-Ours", True), ("LicenseRef-Mine", False)],
)
def test_an_allow_list_reads_names_as_curate_filter_does(tmp_path, license, allowed):
    assert Licenses(tmp_path, ["MIT", "apache-2.0", "LicenseRef-Ours"]).allows(license) is allowed


def test_an_unknown_identifier_is_refused(tmp_path):
    with pytest.raises(InputError, match="'MITT', which isn't an SPDX identifier"):
        Licenses(tmp_path, ["MITT"])


@pytest.mark.parametrize(
    ("files", "license"),
    [
        ({"package.json": '{"license": "(MIT OR CC0-1.0)"}'}, "MIT OR CC0-1.0"),
        ({"package.json": '{"licenses": [{"type": "MIT"}, {"type": "Apache 2.0"}]}'}, None),
        ({"package.json": '{"license": "UNLICENSED"}', "LICENSE": MIT}, "UNLICENSED"),
        ({"package.json": "{broken", "LICENSE": MIT}, "MIT"),
        ({"pyproject.toml": '[project]\nlicense = "Apache-2.0"'}, "Apache-2.0"),
        ({"pyproject.toml": '[project]\nlicense = {text = "BSD 3-Clause"}'}, "BSD-3-Clause"),
        ({"pyproject.toml": '[tool.poetry]\nlicense = "MIT"'}, "MIT"),
        ({"Cargo.toml": '[package]\nlicense = "MIT/Apache-2.0"'}, "MIT OR Apache-2.0"),
        ({"PKG-INFO": "Name: x\nLicense: MIT License\n\nLicense: no"}, "MIT"),
        ({"LICENSES/MIT.txt": "", "LICENSES/CC0-1.0.txt": ""}, "CC0-1.0 AND MIT"),
        ({"LICENSES/GPL-3.0-or-later.txt": ""}, "GPL-3.0-or-later"),
    ],
)
def test_manifests_declare_licences(tmp_path, files, license):
    root = write_tree(tmp_path, {"p/src/a.js": "", **{f"p/{k}": v for k, v in files.items()}})
    declared = Licenses(root, None).license_of("p/src/a.js", "")
    assert declared == (license or "MIT OR Apache-2.0")


GPL = """/* This file is part of a library.
   Copyright (C) 2020 Somebody.

   The library is free software; you can redistribute it under the terms of the GNU Lesser
   General Public License as published by the Free Software Foundation; either
   version 2.1 of the License, or (at your option) any later version.  */
"""


@pytest.mark.parametrize(
    ("head", "license"),
    [
        (GPL, "LGPL-2.1-or-later"),
        ("/**\n * @license MIT\n */\n", "MIT"),
        ("// Distributed under the Boost Software License,\n// Version 1.0. (See it)\n", "BSL-1.0"),
        ("#!/bin/sh\n# Licensed under the Apache License, Version 2.0.\n", "Apache-2.0"),
        ("<?php\n/* Released under the MIT license. */\n", "MIT"),
        ("# " + MIT.replace("\n", "\n# "), "MIT"),
        ("-- License: BSD-2-Clause\n", "BSD-2-Clause"),
        ("# Use of this code needs a license of ours.\n", "unknown"),
        ("x = 1\n# Released under the MIT license\n", "unknown"),
    ],
)
def test_a_files_first_comment_names_its_licence(tmp_path, head, license):
    assert Licenses(tmp_path, None).license_of("a", head + "code();\n") == license


@pytest.mark.parametrize("path", ["x.jsonl:1/" + "a/" * 5000, "a.zip/../../b.py", "a\0/b.py"])
def test_no_path_leads_out_of_the_tree_or_into_an_error(tmp_path, path):
    root = write_tree(tmp_path, {"LICENSE": MIT, "in/a.zip": ""}) / "in"
    assert Licenses(root, None).license_of(path, "") == "unknown"


def test_a_licence_file_that_cant_be_read_declares_nothing(tmp_path):
    root = write_tree(tmp_path, {"a.py": ""})
    (root / "LICENSE").mkdir()
    (root / "COPYING").symlink_to("COPYING")
    os.mkfifo(root / "LICENSE.txt")
    assert Licenses(root, None).license_of("a.py", "") == "unknown"
