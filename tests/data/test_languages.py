"""Detection by name and shebang; every row of the table has a grammar and comments."""

import pytest

from codex_jax.data.languages import LANGUAGES, comment_out, detect, parse_error_fraction, parser_of

PROGRAMS = {
    "Python": ("a.py", "# Add.\ndef add(a, b):\n    return a + b\n"),
    "JavaScript": ("a.mjs", "// Add.\nfunction add(a, b) { return a + b; }\n"),
    "TypeScript": ("a.ts", "// Add.\nfunction add(a: number): number { return a; }\n"),
    "Go": ("a.go", "package a\n\n// Add.\nfunc Add(a int) int { return a }\n"),
    "Ruby": ("a.rb", "# Add.\ndef add(a)\n  a\nend\n"),
    "PHP": ("a.php", "<?php\n// Add.\nfunction add($a) { return $a; }\n"),
    "Perl": ("a.pm", "# Add.\nsub add { return $_[0]; }\n"),
    "Java": ("A.java", "class A {\n  // Add.\n  int add(int a) { return a; }\n}\n"),
    "C": ("a.c", "// Add.\nint add(int a) { return a; }\n"),
    "C++": ("a.cc", "// Add.\nint A::add(int a) { return a; }\n"),
    "C#": ("a.cs", "class A {\n  // Add.\n  int Add(int a) { return a; }\n}\n"),
    "Rust": ("a.rs", "// Add.\nfn add(a: i32) -> i32 { a }\n"),
    "Shell": ("a.sh", "# Add.\nadd() {\n  echo $1\n}\n"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_detected_parsed_and_commented(language):
    path, program = PROGRAMS[language]
    assert detect(path) == language
    assert parse_error_fraction(program, language) == 0
    assert parse_error_fraction(program + "{[(" + "]})" * 9, language) > 0
    comments = comment_out("One\n\ntwo", language)
    tree = parser_of(language).parse(program.encode() + comments.encode())
    assert not tree.root_node.has_error


@pytest.mark.parametrize(
    ("path", "content", "language"),
    [
        ("bin/tool", b"#!/usr/bin/env python3\nx", "Python"),
        ("bin/tool", b"#!/bin/sh\nx", "Shell"),
        ("bin/tool", b"plain", None),
        ("a.h", b"int f(void);", "C"),
        ("a.h", b"namespace x {}", "C++"),
        ("a.txt", b"", None),
        ("a.ipynb", b"{}", "Jupyter"),
    ],
)
def test_detection(path, content, language):
    assert detect(path, content) == language
