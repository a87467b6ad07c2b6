"""Texts of programs and their tests as files for compilers, with our own end behind the tests."""

import re

_DONE = "codex_jax_done"


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
    more = r"\btesting\.(?!T\b)|testing/|\bt\.(Cleanup|Setenv|TempDir|Deadline)\b"
    ours, runner = '"testing"\nimport "codexjax/done"', "done"
    if not re.search(more, text):
        ours, runner = 'testing "codexjax/testing"', "testing"
        text = re.sub(r'^(\s*|import\s+)"testing"', rf"\g<1>{ours}", text, flags=re.MULTILINE)
    call = f"{runner}.Main([]testing.InternalTest{{{listed}}})"
    tests = f"package main\n\nimport {ours}\n\nfunc main() {{ {call} }}\n"
    return {"program.go": text, "tests.go": tests}


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
