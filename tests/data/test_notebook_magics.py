"""IPython's commands leave a cell, Python that looks like them stays."""

import pytest

from codex_jax.data.readers.notebook_magics import read_cell


@pytest.mark.parametrize(
    "source",
    [
        "x = (a\n% (a, b))",
        "s = '''\n%notmagic\n!ls\nwhat?\n'''",
        "x = f'{y!r}'",
        "total = [\n    a\n    % b,\n]",
        "x = a \\\n    % b",
        "ok = a != b  # really?",
    ],
)
def test_python_that_looks_like_a_command_stays(source):
    assert read_cell(source, "Python") == (source, "Python")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("%matplotlib inline\nx = 1", "x = 1"),
        ("!pip install y\nx = 1", "x = 1"),
        ("x?\ny = 2", "y = 2"),
        ("files = !ls\nx = 1", "x = 1"),
        ("%time x = f()", "x = f()"),
        ("y = %time f()", "y = f()"),
        ("%run a.py \\\n  -x\nx = 1", "x = 1"),
        ("for x in y:\n    !echo {x}", "for x in y:\n    pass"),
        ("for x in y:\n    %time f(x)\n    g(x)", "for x in y:\n    f(x)\n    g(x)"),
        (">>> x = 1\n>>> x", "x = 1\nx"),
        ("%%time\n%matplotlib inline\nx = 1", "x = 1"),
        ("print 'old', 3 % 2\n%cd x", "print 'old', 3 % 2"),
    ],
)
def test_commands_go(source, code):
    assert read_cell(source, "Python") == (code, "Python")


@pytest.mark.parametrize(
    ("source", "language"),
    [
        ("%%bash -s x\nls", "Shell"),
        ("%%sh\nls", "Shell"),
        ("%%javascript\nls", "JavaScript"),
        ("%%perl\nls", "Perl"),
        ("%%script ruby\nls", "Ruby"),
        ("%%writefile -a lib/a.rs\nls", "Rust"),
        ("%%capture out\n%%bash\nls", "Shell"),
        ("\n%%html\nls", None),
        ("%%writefile notes.txt\nls", None),
        ("%%latex\nls", None),
    ],
)
def test_a_cell_magic_says_the_language(source, language):
    assert read_cell(source, "Python") == ("ls", language)


def test_other_languages_have_no_magics():
    assert read_cell("%%bash\n!x", "Ruby") == ("%%bash\n!x", "Ruby")
