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


@pytest.mark.parametrize("last", ["?", "?>", "/", "*", "\\", ".", "'", '"', "{", "#}"])
@pytest.mark.parametrize("language", ["PHP", "JavaScript", "C#", "Rust", "Ruby", "Perl", "Shell"])
def test_prose_may_end_in_any_sign(language, last):
    words = f"Is it a program that ends in {last}"
    source = PROGRAMS[language][1].replace("Add.", words)
    pairs = list(functions(source, language))
    if not pairs:
        assert language == "PHP"
        assert last in ("?", "?>")  # no program by the grammar
        pairs = list(functions(source.replace(f"// {words}", f"/** {words} */"), language))
    (pair,) = pairs
    assert pair.prose == words
    assert parse_error_fraction(prose_to_code(pair)[0].text, language) == 0


SAYS = "Adds the two numbers that it is given."


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("JavaScript", "/** {} */\nexports.add = function (a, b) {{ return a + b; }};\n"),
        ("JavaScript", "// {}\nmodule.exports.add = async (a, b) => a + b;\n"),
        ("JavaScript", "/** {} */\nA.prototype.add = function add(a, b) {{ return a + b; }};\n"),
        ("JavaScript", "const o = {{\n  // {}\n  add(a, b) {{ return a + b; }},\n}};\n"),
        ("JavaScript", "module.exports = {{\n  // {}\n  add: (a, b) => a + b,\n}};\n"),
        (
            "TypeScript",
            "abstract class A {{\n  /** {} */\n  private add(a: T): T {{ return a; }}\n}}\n",
        ),
        ("C++", "// {}\nauto add = [](int a) {{ return a; }};\n"),
        ("Java", "record A(int x) {{\n  // {}\n  A {{ if (x < 0) throw new E(); }}\n}}\n"),
        ("Java", "interface A {{\n  /** {} */\n  default int add(int a) {{ return a; }}\n}}\n"),
        (
            "C#",
            "struct A {{\n  /// <summary>{}</summary>\n  public static A operator +(A a) => a;"
            "\n}}\n",
        ),
        ("C#", "class A {{\n  // {}\n  ~A() {{ }}\n}}\n"),
        ("C#", "interface A {{\n  // {}\n  int Add(int a) {{ return a; }}\n}}\n"),
        ("PHP", "<?php\n// {}\n$add = function ($a) {{ return $a; }};\n"),
        ("PHP", "<?php\n// {}\n$add = fn($a) => $a;\n"),
        ("Perl", "# {}\nmy $add = sub {{ return $_[0]; }};\n"),
        ("Go", "package a\n\n// {}\nvar Add = func(a int) int {{ return a }}\n"),
        (
            "Rust",
            "impl A {{\n    /// {}\n    #[inline]\n    pub fn add(&self) -> i32 {{ 1 }}\n}}\n",
        ),
        ("Ruby", "class A\n  # {}\n  memoize def add(a)\n    a\n  end\nend\n"),
    ],
)
def test_a_function_is_one_however_its_name_is_bound(language, source):
    (pair,) = functions(source.format(SAYS), language)
    (text,) = prose_to_code(pair)
    assert pair.prose == SAYS
    assert parse_error_fraction(text.text, language) == 0
    assert "dd" in pair.code or "A" in pair.code


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("JavaScript", f"// {SAYS}\nadd((a, b) => a + b);\n"),
        ("JavaScript", f"[\n  // {SAYS}\n  (a, b) => a + b,\n];\n"),
        ("Go", f"package a\n\nfunc f() {{\n\t// {SAYS}\n\tgo func() {{ x() }}()\n}}\n"),
        ("TypeScript", f"// {SAYS}\nexport class A {{ }}\n"),
    ],
)
def test_a_comment_above_another_statement_is_no_functions(language, source):
    assert list(functions(source, language)) == []


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("Java", f"interface A {{\n  /** {SAYS} */\n  int add(int a);\n}}\n"),
        ("Java", f"abstract class A {{\n  /** {SAYS} */\n  abstract int add(int a);\n}}\n"),
        ("PHP", f"<?php\ninterface A {{\n  /** {SAYS} */\n  public function add($a);\n}}\n"),
        ("C#", f"interface A {{\n  // {SAYS}\n  int Add(int a);\n}}\n"),
        ("Go", f"package a\n\n// {SAYS}\nfunc Add(a int) int\n"),
        (
            "JavaScript",
            f"class A {{\n  #b = 1;\n  // {SAYS}\n  add(a) {{ return a + this.#b; }}\n}}\n",
        ),
    ],
)
def test_a_function_without_its_body_or_its_private_fields_is_no_pair(language, source):
    assert list(functions(source, language)) == []


@pytest.mark.parametrize(
    ("language", "head", "method"),
    [
        ("JavaScript", "class B extends A", "constructor(x) {{ super(x); }}"),
        ("PHP", "class B extends A", "public function f() {{ return parent::f(); }}"),
        ("Java", "class B extends A", "int f() {{ return super.f(); }}"),
        ("TypeScript", "class B extends A<T>", "f(): T {{ return super.f(); }}"),
    ],
)
def test_a_method_keeps_what_its_class_extends(language, head, method):
    opening = "<?php\n" if language == "PHP" else ""
    source = f"{opening}{head} {{\n  /** {SAYS} */\n  {method.format()}\n}}\n"
    texts = [prose_to_code(pair)[0].text for pair in functions(source, language)]
    assert len(texts) == 1
    assert head in texts[0] or language == "Java"
