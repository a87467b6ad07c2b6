"""Own text: composed and merged programs are written as their pieces were, and mean the same."""

import ast
import re
import warnings

import pytest

from codex_jax.solve import distil, source_text
from codex_jax.solve.pieces import Piece, compose, find_function

PROMPT = 'def f(s: str = "a b") -> str:\n    """Do it."""\n'
SAMPLES = [
    "    s = \"\".join([c for c in s if c != 'e'])  # without e\n    return s\n",
    '\n    # the last word\n    s = s[: len(s)//2]\n\n    return s.split( " " )[-1]  # a list\n',
]
ODD = [
    *SAMPLES,
    "\tif s:\n\t\ts = s[1:]\n\treturn s\n",
    "  for c in s:\n    s += c\n  return s\n",
    "    s = s.lower(); s = s[1:]; return s\n",
    "    x = 'é€😀'; return s + x  # 'ü'\n",
    '    s += """\n  two\n        lines\n"""\n    return s\n',
    '    return """\n    é {}\n    """.format(s)\n',
    "    return (\n        s\n  + 'a'  # low\n    )\n",
    "    s = s + \\\n  'a'\n    return \\\n        s + 'b'\n",
    "    @lambda g: g\n    # g\n    def g(x):\n        return x\n    s = g(s)\n    return s\n",
    "    import functools\n    @functools.cache\n    def g(x): return x\n    return g(s)\n",
    "    def g(x):\n        '''One\n\n          line'''\n        return x\n    return g(s)\n",
    "    return(s)\n",
    "    return s;\n",
    "    return s, *s\n",
    "    return (s := s[1:])\n",
    "    return f\"{s!r:>{len(s)}} {'é' + s}\"\n",
    '    s = f"""\n{s}\n  é{s}"""; return s\n',
    "    return s if len(s) < 2 else f'{f(s[1:])}é' + f(s[2:])\n",
    '    return s and f"""\né\n  {f(s[1:])}"""\n',
    "    return s and f'{f(s[1:]) = }'\n",
    "    if not s: return s\n    return s[1:]\n",
    "    return s[1:]\n\ndef f(s):\n    '''Again'''\n    return s\n",
    "    s = s.strip()\r\n    s += '''\r\n  a'''\r\n    return s + 'b'\r\n",
    "    s = s[1:]\n\x0c\n    return s  # \u2028\n",
    "# at the edge\n    return s.replace('\\d', '')\n",
    "    s = ('a'\n    'b' + s)\n    return s\n    # the end\n",
    "    while True: break\n    else: s = s[1:]\n    return [\n] or s",
    "    ﬁ = s; del ﬁ\n    return lambda s=s: s\n",
    "    pass\n",
    "",
]


def read_source(body: str) -> str:
    """A piece's source, whose docstring is indented as its body is."""
    indentation = next((i for i in ("\t", "  ") if re.match(rf"{i}\w", body)), "    ")
    return PROMPT.replace("    ", indentation) + body


def read_step(body: str, name: str) -> ast.FunctionDef:
    """A piece's function by its tree alone."""
    function = find_function(read_source(body), "f")
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == "f":
            node.id = name
    function.name, function.body = name, function.body[1:] or [ast.Pass()]
    return function


def dump(nodes) -> list[str]:
    return [ast.dump(node) for node in nodes]


def pieces(*bodies: str) -> list[Piece]:
    return [Piece(0, 1, read_source(body), 1.0) for body in bodies]


@pytest.fixture(autouse=True)
def no_warnings_of_escapes():
    with warnings.catch_warnings(action="ignore"):
        yield


def test_a_composed_program_has_its_samples_lines():
    steps = ['    def step_1(s: str = "a b") -> str:\n', '    def step_2(s: str = "a b") -> str:\n']
    lines = [
        head + "".join("    " + line if line.strip() else line for line in body.splitlines(True))
        for head, body in zip(steps, SAMPLES, strict=True)
    ]
    body = "\n".join(lines) + "\n    return step_2(step_1(s))\n"
    assert compose(pieces(*SAMPLES), "f", "s") == body


def test_a_merged_program_has_its_samples_lines():
    source = PROMPT + compose(pieces(*SAMPLES), "f", "s")
    body = SAMPLES[0].replace("    return s\n", "") + SAMPLES[1].replace("return", "s =")
    merged = distil.merge(source, distil._step_functions(source), "s")
    assert merged == body + "    return s\n"


@pytest.mark.parametrize("body", ODD)
@pytest.mark.parametrize("before", [SAMPLES[1], "\treturn s + f'{f(s)}'\n"])
def test_programs_have_the_trees_of_their_pieces(before, body):
    source = PROMPT + compose(pieces(before, body), "f", "s")
    steps = distil._step_functions(source)
    expected = [read_step(before, "step_1"), read_step(body, "step_2")]
    assert dump(steps) == dump(expected)
    *statements, last = expected[1].body
    merged = distil.merge(source, steps[1:], "s")
    if merged:
        value = ast.unparse(last.value)
        statements += ast.parse(f"s = {value}" if value != "s" else "").body
        statements += find_function(PROMPT + "    return s", "f").body[1:]
        assert dump(find_function(PROMPT + merged, "f").body[1:]) == dump(statements)
    docstring = ast.Expr(ast.Constant('Say "é" \\ "'))
    expected[1].body.insert(0, docstring)
    text = distil._insert(source, steps[1], docstring)
    assert dump(find_function(PROMPT + text, "f").body[1:]) == dump(expected[1:])


def test_programs_are_unparsed_only_where_their_text_means_something_else():
    texts = {body: compose(pieces(body), "f", "s") for body in ODD if "Again" not in body}
    unparsed = [body for body, text in texts.items() if '"a b"' not in text]
    assert unparsed == ["    return s and f'{f(s[1:]) = }'\n"]


def test_docstrings_leave_their_lines_to_what_shares_them():
    source = 'def f(s):\n    """Do\n    it."""; s = s[1:]; return s\n'
    body = compose([Piece(0, 1, source, 1.0)], "f", "s")
    assert body.startswith("    def step_1(s):\n        s = s[1:]; return s\n")
    source = "def f(s): 'Do it.'\n"
    body = compose([Piece(0, 1, source, 1.0)], "f", "s")
    assert body.startswith("    def step_1(s): pass\n")


def test_reindented_strings_stay():
    text = "a = '''\n b\n'''\n\nif a:\n    c = (\n1)\n"
    indented = "    a = '''\n b\n'''\n\n    if a:\n        c = (\n    1)\n"
    assert source_text.reindent(text) == indented
    assert source_text.reindent(indented, "    ", "") == text


def test_texts_of_other_statements_are_unparsed():
    statements = ast.parse("a = (1)").body
    assert source_text.write("    a = (1)  # b\n", statements) == "    a = (1)  # b\n"
    for text in (
        "    a = 2\n",
        "a = 1\n",
        "    a = (\n",
        "    a = 1\nb = 2\n",
        "\0",
        "    '\ud800'",
    ):
        assert source_text.write(text, statements) == "    a = 1\n"
