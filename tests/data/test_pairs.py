"""Functions with their words, in every language and both directions."""

import ast

import pytest

from codex_jax.data.examples.pairs import code_to_prose, functions, prose_to_code
from codex_jax.data.languages import LANGUAGES

from .test_languages import PROGRAMS

PROSE = "Adds one number to another one."
METHOD = '''class A:
    @staticmethod
    def add(a: int,
            b: int = 1) -> int:
        """Adds b to a; both are numbers.

        >>> A.add(1)
        2
        """
        total = a + b

        return total

    def silent(self):
        return 1
'''


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "Python"])
def test_a_comment_belongs_to_the_function_below_it(language):
    program = PROGRAMS[language][1].replace("Add.", PROSE)
    (pair,) = functions(program, language)
    assert pair.prose == PROSE
    assert "dd" in pair.code
    assert PROSE not in pair.code
    text = prose_to_code(pair)[0].text
    assert PROSE in text
    assert text.replace(pair.docstring, "") == pair.code


def test_python_docstrings_go_back_where_they_were():
    (pair,) = functions(METHOD, "Python")
    assert pair.prose.startswith("Adds b to a")
    assert ">>> A.add(1)" in pair.prose
    (function,) = ast.parse(prose_to_code(pair)[0].text).body
    assert ast.get_docstring(function) == pair.prose
    (bare,) = ast.parse(pair.code).body
    assert ast.get_docstring(bare) is None
    assert ast.dump(bare.body[-1]) == ast.dump(function.body[-1])


def test_codex_d_learns_on_the_words_alone():
    (pair,) = functions(METHOD, "Python")
    code, words = code_to_prose(pair)
    assert (code.weight, words.weight) == (0.0, 1.0)
    assert "Adds" not in code.text
    assert pair.prose.split("\n")[0] in words.text


def test_a_distant_or_short_comment_is_no_pair():
    assert not list(functions("// Add.\nint add(int a) { return a; }\n", "C"))
    apart = f"// {PROSE}\n\n\nint add(int a) {{ return a; }}\n"
    assert not list(functions(apart, "C"))
