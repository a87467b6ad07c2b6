"""Problems whose tests are text in the program's own language: MultiPL-E, MBXP and HumanEval-X.

A row's `rules` name the benchmark whose owners compile and run differently from the rest:
languages/program_files.py follows them.
"""

import re
from typing import Any

from codex_jax import InputError, records
from codex_jax.evaluate.languages import registry

_HUMANEVAL_X = ("CPP", "Java", "JavaScript", "Go", "Rust", "Python")
# What HumanEval-X puts before every program, unless its prompt has it.
_HEADS = {
    "cpp": """#include<stdlib.h>
#include<algorithm>
#include<math.h>
#include<stdio.h>
#include<vector>
#include<string>
#include<climits>
#include<cstring>
#include<iostream>""",
    "python": """import math
import re
import sys
import copy
import datetime
import itertools
import collections
import heapq
import statistics
import functools
import hashlib
import string
from typing import *
from collections import *""",
}
# What it imports where a program in Go uses it and the test doesn't.
_GO_PACKAGES = ["math", "strings", "fmt", "strconv", "time", "bytes", "regexp", "sort"]
_GO_PACKAGES += ["math/rand", "crypto/md5"]


def is_humaneval_x(row: dict[str, Any]) -> bool:
    """Whether a row has HumanEval-X's form: its language is the first half of its task_id."""
    name = str(row.get("task_id")).partition("/")[0]
    foreign = row.keys() & {"entry_point", "language"}
    return name in _HUMANEVAL_X and "prompt" in row and not any(row[key] for key in foreign)


def is_translated(row: dict[str, Any]) -> bool:
    """Whether a row has the form of MultiPL-E or MBXP."""
    is_named = "task_id" in row or "name" in row
    return bool(row.get("language")) and is_named and row.get("mode") != "outside"


def read_row(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """Returns the problem of a row of MultiPL-E or MBXP."""
    test = fields.get("test") or fields.get("tests") or ""
    row = fields | {"task_id": str(fields.get("task_id") or fields["name"]), "test": test}
    language = registry.find_language(str(fields["language"]))
    if language.name == "python" and "def check(" in test and "mode" not in fields:
        return row | {"entry_point": fields.get("entry_point") or _function_under_test(test, where)}
    if fields.get("entry_point") and "description" in fields:
        row["rules"] = "MBXP"
    return row | {"language": language.name, "mode": "in-process"}


def read_humaneval_x(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """Returns the problem of a row of HumanEval-X."""
    name = fields["task_id"].partition("/")[0].lower()
    row = fields | {"language": name, "rules": "HumanEval-X"}
    if name == "rust":  # the prompt is a comment inside of the function that is declared
        row["prompt"] = fields.get("declaration", "") + fields["prompt"]
    return read_row(row, where)


def _function_under_test(test: str, where: str) -> str:
    """Returns the name of the function that the test passes to check()."""
    names = re.findall(r"^check\((\w+)\)", test, re.MULTILINE)
    if not names:
        raise InputError(f"{where}: lacks entry_point, and its test doesn't call check(NAME)")
    return names[-1]


def head(problem: records.Problem, completion: str) -> str:
    """Returns the imports that HumanEval-X puts before a program; empty for other benchmarks."""
    extra, language = problem.extra, str(problem.extra.get("language"))
    if extra.get("rules") != "HumanEval-X":
        return ""
    if language != "go":
        lines = _HEADS.get(language, "").splitlines()
        return "".join(f"{line}\n" for line in lines if line not in problem.prompt)
    setup = extra.get("test_setup") or "package main\n"
    used = [
        f'import "{name}"\n'
        for name in _GO_PACKAGES
        if name not in setup and f"{name.rpartition('/')[2]}." in completion
    ]
    return f"{setup}\n{''.join(used)}\n"
