"""MBPP as published, and MBPP+ in the form that has its tests as a program."""

import re
from typing import Any

from codex_jax import InputError


def read_row(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """Returns the problem of a row: text and its assertions are a docstring, which is the prompt.

    The test is all assertions, or the row's own `test`, which MBPP+ has. If its setup creates
    objects of the program's classes, it runs in-process.
    """
    tests = [*fields["test_list"], *(fields.get("challenge_test_list") or [])]
    setup = fields.get("test_setup_code") or "\n".join(fields.get("test_imports") or [])
    code = fields.get("code") or fields.get("canonical_solution") or ""
    text = fields.get("text") or fields.get("prompt") or ""
    name = "Mbpp" if fields.get("test") else "MBPP"  # as EvalPlus, or as its authors
    prompt = '"""\n' + "\n".join([text.strip(), *fields["test_list"]]) + '\n"""\n'
    row = {k: v for k, v in fields.items() if k not in ("test_list", "code", "text")}
    row |= {"task_id": f"{name}/{fields['task_id']}", "prompt": prompt}
    row |= {"entry_point": _entry_point(code, tests, where), "canonical_solution": code}
    row["test"] = "\n".join([setup, fields.get("test") or "\n".join(tests)])
    if "Node(" in setup or "class " in setup or re.search(r"^\w+\s*=", setup, re.MULTILINE):
        return row | {"language": "python", "mode": "in-process"}
    return row


def _entry_point(code: str, tests: list[str], where: str) -> str:
    """Returns the function of the solution that assertions call, or the first that they call."""
    defined = re.findall(r"^def\s+(\w+)", code, re.MULTILINE)
    called = [n for n in defined if any(re.search(rf"\b{n}\s*\(", test) for test in tests)]
    asserted = re.findall(r"assert\s+\(*(?:not\s+)?(?:set\(|sorted\()?(\w+)\s*\(", "\n".join(tests))
    if not (called or asserted):
        raise InputError(f"{where}: no assertion calls a function; expected MBPP's test_list")
    return (called or asserted)[0]
