"""SPDX identifiers from the fields that packages really fill."""

import email.parser

import pytest

from codex_jax.curate.packages import licenses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("License-Expression: MIT AND BSD-3-Clause", "MIT AND BSD-3-Clause"),
        ("Classifier: License :: OSI Approved :: MIT License", "MIT"),
        ("Classifier: License :: OSI Approved :: BSD License\nClassifier: A", "BSD-3-Clause"),
        ("Classifier: License :: OSI Approved :: Apache Software License\n"
         "Classifier: License :: OSI Approved :: MIT License", "Apache-2.0 OR MIT"),
        ("License: Apache License, Version 2.0", "Apache-2.0"),
        ("License: BSD", "BSD-3-Clause"),
        ("License: GNU General Public License v3, see MIT too", "LicenseRef-GPL"),
        ("License: LGPL", "LicenseRef-GPL"),
        ("License: whatever you like", ""),
        ("Name: nothing", ""),
    ],
)  # fmt: skip
def test_spdx(text, expected):
    assert licenses.spdx(email.parser.HeaderParser().parsestr(text + "\n")) == expected


@pytest.mark.parametrize(
    "text",
    ["MIT with Commons Clause", "Business Source License (later Apache 2.0)", "CC BY-NC, MIT"],
)
def test_a_free_license_that_terms_restrict_is_none(text):
    for more in ("", "Classifier: License :: OSI Approved :: MIT License\n"):
        metadata = email.parser.HeaderParser().parsestr(f"License: {text}\n{more}")
        assert licenses.spdx(metadata) == "LicenseRef-Restricted"
