"""Imports of problems: found in each language, tried first, and left out where they are absent."""

import platform

import pytest

from codex_jax import records
from codex_jax.evaluate.judging.pool import Pool
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.libraries import missing_libraries
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import Cause, Outcome
from tests.evaluate.pythons import need_own_packages
from tests.evaluate.test_references import problem, run

IMPORTS = {
    "python": ("import a.b as c, d\nfrom e import (\n    f)\n    import g\n", ["a.b", "d", "e"]),
    "javascript": ("const l = require('lodash');\nx = require('./own');\n", ["lodash"]),
    "typescript": ("import * as l from 'lodash';\nimport {b} from './own';\n", ["lodash"]),
    "go": ('import (\n  "fmt"\n  a "x.org/y"\n)\nimport "os"\n', ["fmt", "x.org/y", "os"]),
    "java": ("import java.util.*;\nimport static a.B.*;\n", ["java.util.*", "a.B.*"]),
    "scala": ("import a.b._\nobject P {\n", ["a.b._"]),
    "ruby": ("require 'set'\nrequire_relative 'own'\n", ["set"]),
    "php": ("<?php\nrequire_once 'a/b.php';\n", ["a/b.php"]),
    "perl": ("use strict;\nuse Foo::Bar qw(x);\n", ["Foo::Bar"]),
    "cpp": ("#include <a/b.hpp>\n#ifdef _WIN32\n#include <c.h>\n#endif\n", ["a/b.hpp"]),
    "c": ("/* \n#include <no.h>\n*/\n  # include <a.h>\n", ["a.h"]),
    "rust": ("use std::fmt;\nextern crate rand;\n", ["std", "rand"]),
    "lua": ("local lu = require('luaunit')\nrequire 'a.b'\n", ["luaunit", "a.b"]),
    "r": ("library(dplyr)\nsuppressMessages(library('a'))\n", ["dplyr", "a"]),
    "csharp": ("using System;\nusing static A.B;\n", ["System", "A.B"]),
    "bash": ("source a\n", []),
}
ABSENT = {  # languages whose programs start fast
    "javascript": "const z = require('zz-absent');\n",
    "ruby": "require 'zz_absent'\n",
    "perl": "use Zz::Absent;\n",
    "lua": "local z = require('zz.absent')\n",
    "c": "#include <zz_absent.h>\n",
    "python": "import zz_absent\n",
}
COMMANDS = {
    "javascript": "npm install -g zz-absent",
    "ruby": "apt-get install ruby-zz-absent",
    "perl": "apt-get install libzz-absent-perl",
    "lua": "apt-get install lua-zz-absent",
    "c": "apt-file search zz_absent.h",
    "python": "pip install zz_absent; set packages to zz_absent",
}


@pytest.mark.parametrize("name", IMPORTS)
def test_each_language_s_imports(name):
    text, names = IMPORTS[name]
    assert list(registry.find_language(name).imports(text)) == names


def test_every_language_has_a_case():
    assert sorted(IMPORTS) == sorted(registry.languages())


@pytest.mark.parametrize("name", IMPORTS)
def test_the_program_that_imports_is_the_right_one_with_statements(name):
    language = registry.find_language(name)
    text = language.check_imports(["STATEMENT"])
    assert text.replace("STATEMENT", "").split() == language.check_program.split()
    heads = {"go": "package f_test", "php": "<?php"}
    assert text.splitlines()[: 2 if name in heads else 1] == [
        *([heads[name]] if name in heads else []),
        "STATEMENT",
    ]


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_library_is_named_with_its_command_and_no_program_is_judged(
    tmp_path, capsys, name
):
    if reason := registry.absence(name, ""):
        pytest.skip(f"{name} is {reason}")
    language, statement = registry.find_language(name), ABSENT[name]
    extra = {"language": name, "mode": "in-process"}
    fields = {"test": language.check_test, "entry_point": "f", "extra": extra}
    problems = [
        records.Problem(task_id="lacks", prompt=statement, **fields),
        records.Problem(task_id="lacks too", prompt=statement + statement, **fields),
        records.Problem(task_id="good", prompt="", **fields),
    ]
    right = language.check_program
    samples = [(task.task_id, right) for task in problems]
    report, rows = run(tmp_path, problems, [*samples, ("good", right.replace("+ 1", "+ 2"))])
    verdicts = [row.verdict for _, row in sorted(rows.items())]
    assert verdicts == ["passed", "failed", "left out", "left out"]
    assert list(report["references"]["left_out"]) == ["lacks", "lacks too"]
    printed = capsys.readouterr()
    assert printed.err.count(COMMANDS[name]) == 1
    assert "(2 of 3 problems are left out)" in printed.err
    assert "left out: lacks, lacks too (" in printed.out


def test_prompts_import_in_the_sandbox_and_tests_outside_import_here(tmp_path, capsys):
    pytest.importorskip("numpy")
    need_own_packages()
    body = "assert c(1) == 2"
    problems = [
        problem("prompt", "", body, prompt="import numpy as np\n"),
        problem("standard", "", body, prompt="import os, math\nfrom typing import List\n"),
        problem("test", "", "import numpy\n" + body),
    ]
    host = problem("host", "", body)
    problems.append(records.Problem(**vars(host) | {"test": "import zz_absent\n" + host.test}))
    samples = [(p.task_id, "def f(n): return n + 1\n") for p in problems]
    _, rows = run(tmp_path, problems, samples)
    verdicts = {name: row.verdict for (name, _), row in rows.items()}
    out, passed = "left out", "passed"
    assert verdicts == {"prompt": out, "standard": passed, "test": passed, "host": out}
    assert "programs in python; set packages to numpy (1 of 4" in capsys.readouterr().err
    assert rows["host", 0].detail.endswith("zz_absent; install with: pip install zz_absent")
    _, rows = run(tmp_path, problems, samples, packages=("numpy",))
    assert rows["prompt", 0].verdict == "passed"


def test_imports_that_fail_only_together_leave_nothing_out():
    """Two names of one module: the fault is not this machine's."""
    text = "import os\nimport sys as os\nfrom os import path\n"
    tasks = {"t": problem("t", "", "assert c(1) == 2", prompt=text)}
    with Pool(tasks, sandbox="bubblewrap", limits=Limits(), workers=1) as pool:
        assert missing_libraries(tasks, pool) == {}


class CountingPool:
    """Stands in for a Pool: a program fails if it imports what is absent."""

    def __init__(self, packages=()):
        self.problems, self.sources, self.limits = {}, [], Limits(packages=packages)

    def replace(self, problems):
        self.problems |= problems

    def judge(self, jobs):
        for job in jobs:
            self.sources.append(job.source)
            cause = Cause.EXCEPTION if "zz_absent" in job.source else Cause.PASSED
            yield job, Outcome(cause)


@pytest.mark.parametrize(("absent", "programs"), [(False, 1), (True, 4)])
def test_imports_of_all_problems_are_tried_in_one_program_first(absent, programs):
    prompts = ["import os\n", "import math\n" + "import zz_absent\n" * absent, ""]
    tasks = {text: problem(text, "", "assert c(1) == 2", prompt=text) for text in prompts}
    pool = CountingPool()
    assert list(missing_libraries(tasks, pool)) == [prompts[1]] * absent
    assert len(pool.sources) == programs + absent


@pytest.mark.parametrize(("version", "absent"), [("Python 3.9.2", True), (None, False)])
def test_packages_of_another_python_that_cannot_be_imported(version, absent, monkeypatch):
    """They are this Python's; tests beside the program run under the sandbox's own."""
    version = f"Python {platform.python_version()}" if version is None else version
    monkeypatch.setattr(registry, "tool_version", {"python": version}.__getitem__)
    extra = {"language": "python", "mode": "in-process"}
    beside = {
        name: records.Problem(task_id=name, prompt="", extra=extra) for name in ("beside", "other")
    }
    tasks = {"outside": problem("outside", "", "assert c(1) == 2"), **beside}
    reasons = missing_libraries(tasks, CountingPool(packages=("zz_absent 1.0",)))
    assert list(reasons) == list(beside) * absent
    for reason in reasons.values():
        assert reason.startswith(f"zz_absent can't be imported by programs in python; {version}")
        assert reason.endswith(f"{platform.python_version()}; install that Python as python3")
    assert missing_libraries(tasks, CountingPool(packages=("numpy 2.0",))) == {}
