"""Names that leave the language open are settled by content."""

import pytest

from codex_jax.data.ambiguous_names import language_by_content
from codex_jax.data.languages import detect, may_contain

GUARD = '#ifdef __cplusplus\nextern "C" {\n#endif\n'


@pytest.mark.parametrize(
    ("content", "language"),
    [
        ("int f(void);\n", "C"),
        ("namespace x {}\n", "C++"),
        ("/* a class of templates: namespace x {} */\nint class_count(int template);\n", "C"),
        (f"{GUARD}struct a {{ int b; }};\nint f(struct a *a, int x & 3);\n", "C"),
        (f"{GUARD}int f(void);\n#ifdef __cplusplus\n}}\ntemplate <class T> T g(T t);\n#endif", "C"),
        ("#if !defined(__cplusplus)\nint f(void);\n#else\nnamespace x {}\n#endif\n", "C"),
        ("#if __cplusplus >= 201103L\nnamespace std {\nint f();\n}\n#endif\n", "C++"),
        ("struct A : public B { int c; };\n", "C++"),
        ("class A;\nA* make(const A& a);\n", "C++"),
        ("#include <vector>\nint f();\n", "C++"),
        ("using Index = int;\n", "C++"),
        ("#define MAX(a, b) ((a) > (b))\n", "C"),
        ("#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end\n", None),
        ("@class A;\n", None),
    ],
)
def test_headers(content, language):
    assert detect("a.h", content.encode()) == language


@pytest.mark.parametrize(
    ("path", "content", "language"),
    [
        ("app_de.ts", '<?xml version="1.0"?>\n<!DOCTYPE TS>\n<TS version="2.1">\n', None),
        ("app_de.ts", '<!DOCTYPE TS><TS version="2.1">', None),
        ("app_de.ts", "\n<TS language='de'></TS>", None),
        ("movie.ts", ("G" + "a" * 187) * 3, None),
        ("notes.ts", "Words of a file that is no program at all.\n", None),
        ("a.ts", "export const a = 1;\n", "TypeScript"),
        ("a.d.mts", "export declare const a: number;\n", "TypeScript"),
        ("a.cts", "const a = require('a');\n", "TypeScript"),
        ("a.tsx", '<?xml version="1.0"?><tileset></tileset>', None),
        (
            "a.pl",
            ":- module(lists, [last/2]).\n\nlast([X], X).\nlast([_|T], X) :- last(T, X).\n",
            None,
        ),
        ("a.pl", "parent(tom, bob).\nparent(bob, ann).\n", None),
        ("a.pl", "greeting --> [hello], name.\nname --> [world].\n", None),
        ("a.pl", "#!/usr/bin/perl\nprint 1;\n", "Perl"),
        ("a.pl", "use strict;\nmy %h = (a => 1);\n", "Perl"),
        ("a.pl", "sub f { return $_[0]; }\n1;\n", "Perl"),
        ("a.pm", "use v6;\nunit module A;\n", None),
        ("a.t", "use Test::More;\nok(1);\n", "Perl"),
        ("a.pyi", "def f(a: int) -> str: ...\n", "Python"),
        ("a.pyx", "cdef int f(int a): return a\n", "Python"),
        ("a.cu", "__global__ void f() {}\n", "C++"),
        ("a.rs", "<?xml version='1.0'?><x/>", None),
        ("a.php", "<!DOCTYPE html>\n<?php echo 1;", "PHP"),
        ("tool", "#!python\nx = 1\n", "Python"),
        ("tool", "#!/usr/bin/env -S python3 -u\nx = 1\n", "Python"),
        ("tool", "#!/usr/bin/env -S A=1 B=2 perl -w\n1;\n", "Perl"),
        ("tool", "#!/usr/bin/env -u A ruby3.1\n1\n", "Ruby"),
        ("tool", "#! /usr/bin/pypy3\n1\n", "Python"),
        ("tool.cgi", "#!/usr/bin/perl -T\n1;\n", "Perl"),
        ("tool-2.7", "#!/usr/bin/python2.7\n1\n", "Python"),
        ("tool", "#!/usr/bin/tclsh\n1\n", None),
        ("tool", "#!\n1\n", None),
        ("notes.txt", "#!/bin/sh\n1\n", None),
    ],
)
def test_other_names(path, content, language):
    assert detect(path, content.encode()) == language


def test_a_name_may_hold_each_of_its_languages():
    assert may_contain("a.h", ["C++"])
    assert may_contain("a.h", ("C",))
    assert may_contain("tool", ("Python",))
    assert may_contain("a.pyi", ["Python"])
    assert not may_contain("a.h", ["Python"])
    assert not may_contain("a.png", ["*"])
    assert not may_contain("a.ipynb", ["*"])
    assert may_contain("a.ipynb", ["C"], notebooks=True)


def test_content_of_none_of_the_languages():
    assert language_by_content(set(), b"int x;") is None
    assert language_by_content({"Go"}, b"package a") == "Go"
