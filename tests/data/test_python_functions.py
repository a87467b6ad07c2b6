"""Every pair of a Python file parses, with the docstring of its file."""

import ast
import os
import pathlib

import pytest

from codex_jax.data.examples.pairs import code_to_prose, functions, prose_to_code

DOC = "Adds b to a, which are numbers."
CASES = {
    "two spaces": f'class A:\n  def f(self):\n    """{DOC}"""\n    return 1\n',
    "tabs": f'class A:\n\tdef f(self):\n\t\t"""{DOC}\n\n\t\tMore.\n\t\t"""\n\t\treturn 1\n',
    "one line": f'def f(): "{DOC}"; return 1\n',
    "semicolon": f'def f():\n    "{DOC}"; x = 1\n    return x\n',
    "ends in a quote": f"def f():\n    '''{DOC} \"x\"'''\n    return 1\n",
    "backslashes": f'def f():\n    r"""{DOC} \\d \\n"""\n    return 1\n',
    "escapes": f'def f():\n    """{DOC} \\t \\\\ \\"\\"\\" """\n    return 1\n',
    "line continuation": f'def f():\n    """{DOC}\\\n more"""\n    return 1\n',
    "implicit concatenation": f'def f():\n    "{DOC}" \\\n        " And more."\n    return 1\n',
    "parentheses": f'def f():\n    ("{DOC}"\n     " And more.")\n    return 1\n',
    "comments": f'def f():\n    # why\n    """{DOC}"""  # noqa\n    # how\n    return 1\n',
    "string in the signature": f'def f(a="""x\n  y""", b=\'""" z\'):\n    """{DOC}"""\n    pass\n',
    "string lines": f'if 1:\n    def f():\n        """{DOC}"""\n        return """\n  x\n"""\n',
    "brackets": f'class A:\n    def f(a,\n  b):\n        """{DOC}"""\n        return (\n1)\n',
    "async": f'async def f():\n    """{DOC}"""\n    await x\n',
    "windows": f'class A:\r\n    def f(self):\r\n        """{DOC}"""\r\n        return 1\r\n',
    "not ASCII": f'def f(ä="ö"):\n    """{DOC} über"""\n    return "ß"\n',
}


@pytest.mark.parametrize("case", CASES)
def test_the_pair_parses_with_the_docstring_of_its_file(case):
    source = CASES[case]
    (pair,) = functions(source, "Python")
    (text,) = prose_to_code(pair)
    (function,) = ast.parse(text.text).body
    originals = [n for n in ast.walk(ast.parse(source)) if getattr(n, "name", "") == "f"]
    assert ast.get_docstring(function) == pair.prose == ast.get_docstring(originals[0])
    assert pair.prose.startswith(DOC)
    code, words = code_to_prose(pair)
    (bare,) = ast.parse(code.text).body
    assert ast.dump(bare) == ast.dump(ast.parse(pair.code).body[0])
    assert [ast.dump(n) for n in bare.body] == [ast.dump(n) for n in function.body[1:]]
    assert DOC[:10] in words.text


@pytest.mark.parametrize(
    "source",
    [
        f'def f():\n    f"""{DOC} {{x}}"""\n    return 1\n',
        f'def f():\n    b"""{DOC}"""\n    return 1\n',
        f'def f():\n    """{DOC}"""\n',
        f'def f():\n    """{DOC}"""\n    # only a comment\n',
        f'def f():\n    """{DOC}"""\n    print "python 2"\n',
        'def f():\n    """Short."""\n    return 1\n',
    ],
)
def test_a_function_without_a_usable_docstring_is_no_pair(source):
    assert list(functions(source, "Python")) == []


def test_every_docstring_of_the_standard_library_makes_a_pair():
    folder = pathlib.Path(os.__file__).parent
    for name in ("argparse", "ast", "collections/__init__", "inspect", "typing", "textwrap"):
        source = (folder / f"{name}.py").read_text()
        docstrings = [
            ast.get_docstring(node)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(node.body) > 1
        ]
        pairs = list(functions(source, "Python"))
        expected = sorted(text for text in docstrings if text and len(text) >= 20)
        assert sorted(pair.prose for pair in pairs) == expected
        for pair in pairs:
            (function,) = ast.parse(prose_to_code(pair)[0].text).body
            assert ast.get_docstring(function) == pair.prose
