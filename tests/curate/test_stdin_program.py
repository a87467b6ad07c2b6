"""Programs that read standard input, as functions: the same output for the same text."""

import contextlib
import inspect
import io
import sys

import pytest

from codex_jax.curate.contests import stdin_program
from tests.curate.conftest import load

PROGRAMS = [
    "print(input()[::-1], end='!')\n",
    "import sys\nfor line in sys.stdin:\n    sys.stdout.write(line.upper())\n",
    "import sys\ninput = sys.stdin.readline\nn = input()\nprint(n + input())\n",
    "n = 0\ndef add(x):\n    global n\n    n += x\nfor c in input():\n    add(ord(c))\nprint(n)\n",
    "def main():\n    stdin = input()\n    print(stdin)\nif __name__ == '__main__':\n    main()\n",
    "a = input()\nif len(a) > 100:\n    print(a)\n    exit()\nprint('short')\n",
    "from math import *\nprint(floor(len(input()) / 2))\n",
    "text = open(0).read()\nprint(len(text))\n",
    "rows = []\ntry:\n    while 1: rows.append(input())\nexcept EOFError:\n    print(rows)\n",
    "print(*map(lambda x: x + input(), 'a'))\n",
    "def solve(k):\n    return 1 if k < 2 else k * solve(k - 1)\nprint(solve(len(input())))\n",
    "import sys\nprint('x', file=sys.stdout)\n",
    "print(sorted(input(), key=lambda c: -ord(c)))\n",
]  # fmt: skip
TEXT = "one two\nthree\n"


def run(program: str, text: str, monkeypatch) -> str:
    """The output of a program that runs as a script."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    namespace = {"__name__": "__main__", "open": lambda *_: sys.stdin}
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        exec(program, namespace)
    return output.getvalue()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("text", [TEXT, "x" * 150 + "\ny\n"])
def test_a_function_prints_as_its_program(program, text, monkeypatch):
    source = stdin_program.to_function(program, "Does\nit.")
    solve = load(source, "solve")
    assert inspect.cleandoc(solve.__doc__) == "Does\nit."  # 3.13 cleans it itself
    assert '    """Does\n    it.\n    """' in source
    assert solve(text) == run(program, text, monkeypatch)


@pytest.mark.parametrize(
    "program",
    [
        "print 'x'\n", "def f():\n    exit()\nf()\n",
        "import sys\nprint(sys.stdin.buffer.read())\n",
        "print(eval(input()))\n", "from sys import stdin\nprint(stdin.read())\n",
        "import sys\nf = sys.exit\n",
    ],
)  # fmt: skip
def test_what_cannot_be_a_function(program):
    with pytest.raises(stdin_program.UnsupportedProgramError):
        stdin_program.to_function(program)
