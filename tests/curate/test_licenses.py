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
    ("expression", "expected"),
    [
        ("MIT", True), ("GPL-3.0-only", False), ("GPL-3.0-only OR MIT", True), ("", False),
        ("MIT AND GPL-3.0-only", False), ("(MIT AND Apache-2.0) OR GPL-2.0-only", True),
    ],
)  # fmt: skip
def test_an_expression_is_met_by_allowed_licences(expression, expected):
    assert licenses.is_allowed(expression, frozenset({"MIT", "Apache-2.0"})) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("((MIT))", True),
        ("mit or gpl-3.0-only", True),
        ("APACHE-2.0+", True),
        ("MIT WITH exception", False),
        ("MIT AND", False),
        ("()", False),
        ("(" * 5000, False),
        ("__import__('os')", False),
    ],
)
def test_nested_and_malformed_expressions(expression, expected):
    assert licenses.is_allowed(expression, frozenset({"MIT", "Apache-2.0"})) is expected


@pytest.mark.parametrize(
    "text",
    ["MIT", "CC-BY-4.0", "(MIT or Apache-2.0+) AND X", "A WITH B", "DocumentRef-a:LicenseRef-b"],
)
def test_expressions_by_their_form(text):
    assert licenses.is_expression(text)


@pytest.mark.parametrize("text", ["not a license(", "MIT OR", "MIT, BSD", "MIT (X11)", "(", ""])
def test_what_is_no_expression(text):
    assert not licenses.is_expression(text)


def test_a_note_in_parentheses_is_refused_without_a_warning(recwarn):
    assert not licenses.is_allowed("MIT (X11)", frozenset({"MIT"}))
    assert not recwarn.list


@pytest.mark.parametrize(
    "text",
    ["MIT with Commons Clause", "Business Source License (later Apache 2.0)", "CC BY-NC, MIT"],
)
def test_a_free_license_that_terms_restrict_is_none(text):
    assert licenses.spdx(email.parser.HeaderParser().parsestr(f"License: {text}\n")) == (
        "LicenseRef-Restricted"
    )
