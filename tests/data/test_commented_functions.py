"""Commented functions of every language, with what stands between or around, parse again."""

import pytest

from codex_jax.data.examples.pairs import functions, prose_to_code
from codex_jax.data.languages import LANGUAGES, parse_error_fraction

from .test_languages import PROGRAMS

PROSE = "Adds b to a, which are numbers."

# language, file, a piece of its pair's code
CASES = [
    (
        "Rust",
        f"/// {PROSE}\n#[inline]\n#[must_use]\npub fn add(a: i32) -> i32 {{ a }}\n",
        "#[inline]",
    ),
    ("Rust", f"impl A {{\n    /// {PROSE}\n    fn add(&self) -> i32 {{ 1 }}\n}}\n", "fn add"),
    (
        "C++",
        f"// {PROSE}\ntemplate <class T>\nT add(T a, T b) {{ return a + b; }}\n",
        "template <class",
    ),
    (
        "C++",
        f"class A {{\n  /** {PROSE} */\n  int add(int a) const {{ return a; }}\n}};\n",
        "int add",
    ),
    ("JavaScript", f"// {PROSE}\nexport const add = (a, b) => a + b;\n", "export const add"),
    ("JavaScript", f"class A {{\n  // {PROSE}\n  add(a) {{ return a; }}\n}}\n", "class A {"),
    ("TypeScript", f"/**\n * {PROSE}\n */\nconst add = (a: number): number => a;\n", "const add"),
    (
        "TypeScript",
        f"class A {{\n  // {PROSE}\n  private add(a: number) {{ return a; }}\n}}\n",
        "private add",
    ),
    (
        "Java",
        f"class A {{\n  /** {PROSE} */\n  @Deprecated\n  A(int a) {{ x = a; }}\n}}\n",
        "A(int a)",
    ),
    ("Java", f"class A {{\n  // {PROSE}\n  public int f() {{ return 1; }}\n}}\n", "public int f"),
    ("Ruby", f"class A\n  # {PROSE}\n  private def add(a)\n    a\n  end\nend\n", "private def"),
    ("Ruby", f"class A\n  # {PROSE}\n  def self.add(a)\n    a\n  end\nend\n", "def self.add"),
    ("Perl", f"=head2 {PROSE}\n\n=cut\n\nsub add {{ return $_[0]; }}\n", "sub add"),
    (
        "PHP",
        f"<?php\nclass A {{\n  // {PROSE}\n  private function f($a) {{ return $a; }}\n}}\n",
        "class A {",
    ),
    (
        "C#",
        f"class A {{\n  /// <summary>{PROSE}</summary>\n  int F(int a) {{ return a; }}\n}}\n",
        "int F",
    ),
    ("Shell", f"#!/bin/sh\n# {PROSE}\nadd() {{\n  echo $1\n}}\n", "add()"),
    (
        "Go",
        f"package a\n\n//----------\n// {PROSE}\nfunc (a A) Add() int {{ return 1 }}\n",
        "func (a A)",
    ),
    (
        "C",
        f"/************\n * {PROSE}\n ************/\nstatic int f(int a) {{ return a; }}\n",
        "static int",
    ),
]


@pytest.mark.parametrize(("language", "source", "piece"), CASES)
def test_the_pair_has_the_prose_alone_and_parses(language, source, piece):
    assert parse_error_fraction(source, language) == 0
    (pair,) = functions(source, language)
    assert pair.prose == PROSE
    assert piece in pair.code
    assert PROSE not in pair.code
    (span,) = prose_to_code(pair)
    assert parse_error_fraction(span.text, language) == 0
    assert parse_error_fraction(pair.code, language) == 0
    assert [again.prose for again in functions(span.text, language)] == [PROSE]


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "Python"])
def test_a_ruler_or_a_trailing_comment_is_no_prose(language):
    program = PROGRAMS[language][1]
    mark = LANGUAGES[language].comment
    assert not list(functions(program.replace("Add.", "-" * 40), language))
    assert not list(functions(program.replace(f"{mark} Add.", ""), language))


def test_lines_inside_strings_stay_as_they_are():
    source = f"class A {{\n  // {PROSE}\n  f() {{\n    return `\n  x`;\n  }}\n}}\n"
    (pair,) = functions(source, "JavaScript")
    assert "return `\n  x`;" in pair.code
