"""A program's text is judged as exec() of it would run: encodings, line ends, odd characters."""

import pytest

from codex_jax.evaluate.sandbox.guest import compiler
from tests.evaluate.test_references import problem, run

HEADS = {
    "a comment like a cookie": "# Run-length encoding: groups\n",
    "latin-1": "# -*- coding: latin-1 -*-\n",
    "utf-7": "# coding: utf-7\n",
    "no such encoding": "#!/usr/bin/python\n# vim: set fileencoding=klingon :\n",
    "a cookie like vim's": "# vim: coding=cp1252\n",
    "a byte order mark": "\ufeff",
    "a form feed": "\x0c\n\x0c",
    "carriage returns": "x = 1\r\ny = 2\rz = 3\r\n",
    "a null byte": "x = 1\0\n",
    "a null byte in a comment": "# \0\n",
    "a lone surrogate": "x = '\udc80'\n",
    "a lone surrogate in a comment": "# \ud800\n",
    "identifiers": "ÅÄÖ, ﬁ = 1, 2\nassert fi == 2\n",
    "the end of a text file": "\x1a\n",
    "no-break spaces": "x =\u00a01\n",
    "nothing": "",
}
BODY = "def f():\n    return 'é\u20ac\U0001f600', len('''a\r\nb\rc''')\n"
CLOSURE = "def g(): return f\n"
TEST = "assert {} == ('é\u20ac\U0001f600', 5)"


def runs(text: str) -> bool:
    """Whether exec() runs the text, and f() is right."""
    namespace: dict = {}
    try:
        exec(text, namespace)
    except (SyntaxError, ValueError):
        return False
    return namespace["f"]() == ("é\u20ac\U0001f600", 5)


@pytest.mark.parametrize("name", HEADS)
def test_the_compiler_takes_what_exec_takes(name):
    text = HEADS[name] + BODY
    try:
        compiler.compile_source(text.encode("utf-8", "surrogatepass"))
    except compiler.CompileError:
        compiled = False
    else:
        compiled = True
    assert compiled == runs(text)


def test_bytes_with_a_cookie_would_be_another_program():
    text = HEADS["latin-1"] + BODY
    namespace: dict = {}
    exec(text.encode(), namespace)
    assert namespace["f"]()[0] != "é\u20ac\U0001f600"
    assert runs(text)
    assert not runs(HEADS["a byte order mark"] + BODY)  # it is no space, and no mark in a text


@pytest.mark.parametrize("mode", ["outside", "in-process"])
def test_verdicts_are_those_of_exec(mode, tmp_path):
    """Samples, references and prompts alike; a test that calls a closure is run in-process."""
    entry_point, call = ("f", "c()") if mode == "outside" else ("g", "c()()")
    body = BODY + CLOSURE
    fields = {"entry_point": entry_point}
    problems = [problem("t", body, TEST.format(call), **fields)]
    heads = [name for name in HEADS if runs(HEADS[name] + BODY)]
    problems += [
        problem(name, body, TEST.format(call), prompt=HEADS[name], **fields) for name in heads
    ]
    samples = [("t", head + body) for head in HEADS.values()] + [(name, body) for name in heads]
    report, rows = run(tmp_path, problems, samples)
    assert report["references"]["left_out"] == {}
    assert {row.extra["mode"] for row in rows.values()} == {mode}
    for index, (name, head) in enumerate(HEADS.items()):
        assert (rows["t", index].verdict == "passed") == runs(head + BODY), (name, rows["t", index])
    assert all(rows[name, 0].verdict == "passed" for name in heads)
