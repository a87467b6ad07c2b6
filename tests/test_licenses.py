"""Licenses: the SPDX expressions that a list admits, and what is no expression."""

import pytest

from codex_jax import InputError, licenses
from codex_jax.curate.filters.filter import LICENSES
from codex_jax.licenses import AllowList


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True), ("GPL-3.0-only", False), ("GPL-3.0-only OR MIT", True), ("", False),
        ("MIT AND GPL-3.0-only", False), ("(MIT AND Apache-2.0) OR GPL-2.0-only", True),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("((MIT))", True),
        ("mit or gpl-3.0-only", True),
        ("MIT OR MITT", True),
        ("APACHE-2.0+", True),
        ("GPL-3.0-only OR all mine", False),
        ("MIT OR all mine", False),
        ("MIT WITH exception", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("MIT AND", False),
        ("()", False),
        ("(" * 5000, False),
        ("GPL-3.0-only OR (" * 3000 + "MIT" + ")" * 3000, False),
        ("__import__('os')", False),
        ("unknown", False),
        ("not a license (", False),
    ],
)  # fmt: skip
def test_an_expression_is_met_by_allowed_licenses(expression, expected):
    assert AllowList(["MIT", "Apache-2.0"]).admits(expression) is expected


@pytest.mark.parametrize(
    ("name", "expression", "expected"),
    [
        ("mit", "MIT", True),
        ("GPL-2.0", "GPL-2.0-only", True),
        ("GPL-2.0-only", "GPL-2.0-or-later", True),
        ("GPL-2.0-only", "GPL-2.0+", True),
        ("GPL-2.0-or-later", "GPL-2.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", "apache-2.0+ WITH llvm-exception", True),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0", False),
        ("LicenseRef-GPL", "licenseref-gpl", True),
        ("GPL-1.0-or-later", "LicenseRef-GPL", False),
        ("LicenseRef-Public-Domain", "LicenseRef-Public-Domain OR GPL-3.0-only", True),
    ],
)
def test_what_one_name_admits(name, expression, expected):
    assert AllowList([name]).admits(expression) is expected


@pytest.mark.parametrize(
    "name",
    [
        "MITT",
        "",
        " ",
        "MIT OR ISC",
        "Apache-2.0+",
        "Apache",
        "LLVM-exception",
        "MIT WITH MIT",
        "GPL-2.0-only WITH nothing",
        "LicenseRef-",
        "()",
        "*",
    ],
)
def test_a_name_that_spdx_doesnt_list_is_refused(name):
    with pytest.raises(InputError, match="isn't an SPDX identifier; expected names such as Ap"):
        AllowList(["MIT", name])


def test_the_licenses_that_curate_filter_allows_by_default_are_spdx_s():
    assert all(AllowList(LICENSES).admits(name) for name in LICENSES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mit", "MIT"),
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("(MIT or Apache-2.0+) and LicenseRef-X", "(MIT OR Apache-2.0+) AND LicenseRef-X"),
        ("Apache-2.0 with LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("DocumentRef-a:LicenseRef-b", "DocumentRef-a:LicenseRef-b"),
    ],
)
def test_expressions(text, expected):
    assert licenses.is_expression(text)
    assert licenses.canonical(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "not a license(",
        "MIT OR",
        "MIT, BSD",
        "MIT (X11)",
        "(",
        "",
        "all mine",
        "MITT",
        "A WITH B",
        "MIT OR (ISC AND " * 3000 + "MIT" + ")" * 3000,
    ],
)
def test_what_is_no_expression(text, recwarn):
    assert not licenses.is_expression(text)
    assert not recwarn.list
