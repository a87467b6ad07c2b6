"""Texts of programs and their tests as files for compilers, with our own end behind the tests."""

import pathlib
import re

_DONE = "codex_jax_done"
_DRIVERS = pathlib.Path(__file__).with_name("drivers")


def _ended(test: str, call: str) -> str:
    """The test of a language whose main function it holds, with `call` at that function's end."""
    return re.sub(r"(\breturn\s+0\s*;\s*)?\}\s*\Z", lambda end: f"{call}\n{end[0]}", test)


def c(program: str, test: str) -> dict[str, str]:
    head = f'void {_DONE}(void);\n#line 1 "program.c"\n'
    return {"program.c": f"{head}{program}\n{_ended(test, _DONE + '();')}\n"}


def cpp(program: str, test: str) -> dict[str, str]:
    """What includes all of the standard library gets it precompiled, and nothing else does."""
    head = f'extern "C" void {_DONE}(void);\n#line 1 "program.cpp"\n'
    text = f"{head}{program}\n{_ended(test, _DONE + '();')}\n"
    whole = re.search(r"^\s*#\s*include\s*<bits/stdc\+\+\.h>", text, re.MULTILINE)
    return {"program.cpp": text, "all.txt": "-include /kit/cpp/all.h\n" if whole else ""}


def rust(program: str, test: str) -> dict[str, str]:
    call = f'extern "C" {{ fn {_DONE}(); }} unsafe {{ {_DONE}(); }}'
    return {"program.rs": f"{program}\n{_ended(test, call)}\n"}


def go(program: str, test: str) -> dict[str, str]:
    """In one package with the main function that runs its tests.

    Tests that use no more of `testing` than T get a smaller one, which links sooner.
    """
    text = re.sub(r"^package\s+\w+", "package main", f"{program}\n{test}\n", count=1, flags=re.M)
    names = re.findall(r"^func (Test\w*)\(\w+ \*testing\.T\)", test, re.MULTILINE)
    listed = ", ".join(f'{{Name: "{name}", F: {name}}}' for name in names)
    table = f'import "testing"\n\nvar codexJaxTests = []testing.InternalTest{{{listed}}}\n'
    files = {
        "program.go": text,
        "tests.go": f"package main\n\n{table}",
        "done.go": (_DRIVERS / "done.go").read_text(encoding="utf-8"),
    }
    if re.search(r"\btesting\.(?!T\b)|testing/|\bt\.(Cleanup|Setenv|TempDir|Deadline)\b", text):
        return files
    ours = 'testing "codexjax/testing"'
    pattern = r'^(\s*|import\s+)"testing"'
    return {n: re.sub(pattern, rf"\g<1>{ours}", f, flags=re.M) for n, f in files.items()}


def java(program: str, test: str) -> dict[str, str]:
    """One file for all classes, none of them public: a public one would want a file of its name."""
    text = f"{program}\n{test}\n"
    text = re.sub(r"^public\s+(?=(final\s+|abstract\s+)?class\s)", "", text, flags=re.MULTILINE)
    return {"program.java": text}


def java_main(text: str) -> str:
    """The class that holds main()."""
    before = re.split(r"\bstatic\s+void\s+main\s*\(", text)
    classes = re.findall(r"^(?:public\s+)?(?:final\s+)?class\s+(\w+)", "".join(before[:-1]), re.M)
    return classes[-1] if classes else "Problem"


def scala_main(text: str) -> str:
    """The object that holds main(), or is an App."""
    objects = re.findall(r"^object\s+(\w+)", text, re.MULTILINE)
    return objects[-1] if objects else "Problem"
