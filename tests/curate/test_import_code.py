"""Functions that a package's import reaches, by whatever way."""

import pytest

from codex_jax.curate.packages import import_code
from tests.curate.conftest import package_of

REACHED = {
    "called": "def f():\n    x = MARK\nf()\n",
    "through another": "def f():\n    x = MARK\ndef g():\n    f()\nK = g()\n",
    "as a method": "class C:\n    def m(self):\n        x = MARK\nc = C()\n",
    "as a default": "def f():\n    x = MARK\ndef g(k=f()): pass\n",
    "in a class": "class C:\n    x = MARK\n",
    "otherwise": "if __name__ == '__main__':\n    pass\nelse:\n    x = MARK\n",
}
UNREACHED = {
    "never called": "def f():\n    x = MARK\n",
    "by each other": "def f():\n    x = MARK\n    g()\ndef g():\n    f()\n",
    "as a script": "if __name__ == '__main__':\n    x = MARK\n",
}


def is_reached(text: str) -> bool:
    pieces = import_code.reach(package_of(a=text))
    return any("MARK" in piece.names for piece in pieces)


@pytest.mark.parametrize("text", REACHED.values(), ids=REACHED)
def test_code_that_runs_at_import(text):
    assert is_reached(text)


@pytest.mark.parametrize("text", UNREACHED.values(), ids=UNREACHED)
def test_code_that_doesn_t(text):
    assert not is_reached(text)
