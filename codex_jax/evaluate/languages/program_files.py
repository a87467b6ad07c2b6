"""Source files of a program and its tests, with a call after the tests that reports their end."""

import re

_DONE = "codex_jax_done"


def _append_call(test: str, call: str) -> str:
    """Returns a test that ends with the main function, with `call` at that function's end."""
    return re.sub(r"(\breturn\s+0\s*;\s*)?\}\s*\Z", lambda end: f"{call}\n{end[0]}", test)


def c(program: str, test: str) -> dict[str, str]:
    """Returns the C file."""
    head = f'void {_DONE}(void);\n#line 1 "program.c"\n'
    return {"program.c": f"{head}{program}\n{_append_call(test, _DONE + '();')}\n"}


def cpp(program: str, test: str) -> dict[str, str]:
    """Returns the C++ file, and options that depend on what it includes."""
    head = f'extern "C" void {_DONE}(void);\n#line 1 "program.cpp"\n'
    text = f"{head}{program}\n{_append_call(test, _DONE + '();')}\n"
    includes = re.findall(r"^\s*#\s*include\s*<([\w+./]+)>", text, re.MULTILINE)
    openssl = any(name.startswith("openssl/") for name in includes)
    return {
        "program.cpp": text,
        "all.txt": "-include /kit/cpp/all.h\n" if "bits/stdc++.h" in includes else "",
        "libraries.txt": "-lcrypto\n" if openssl else "",
    }


def rust(program: str, test: str) -> dict[str, str]:
    """Returns the Rust file."""
    call = f'extern "C" {{ fn {_DONE}(); }} unsafe {{ {_DONE}(); }}'
    return {"program.rs": f"{program}\n{_append_call(test, call)}\n"}


def go(program: str, test: str) -> dict[str, str]:
    """Returns the program and its tests as one package, with a main function that runs the tests.

    Tests that use only T of `testing` get a smaller replacement, which links faster.
    """
    text = re.sub(
        r"^package\s+\w+", "package main", f"{program}\n{test}\n", count=1, flags=re.MULTILINE
    )
    names = re.findall(r"^func (Test\w*)\(\w+ \*testing\.T\)", test, re.MULTILINE)
    entries = ", ".join(f'{{Name: "{name}", F: {name}}}' for name in names)
    full_testing = r"\btesting\.(?!T\b)|testing/|\bt\.(Cleanup|Setenv|TempDir|Deadline)\b"
    imports, runner = '"testing"\nimport "codexjax/done"', "done"
    if not re.search(full_testing, text):
        imports, runner = 'testing "codexjax/testing"', "testing"
        text = re.sub(r'^(\s*|import\s+)"testing"', rf"\g<1>{imports}", text, flags=re.MULTILINE)
    call = f"{runner}.Main([]testing.InternalTest{{{entries}}})"
    tests = f"package main\n\nimport {imports}\n\nfunc main() {{ {call} }}\n"
    return {"program.go": text, "tests.go": tests}


def java(program: str, test: str) -> dict[str, str]:
    """Returns one file for all classes; none is public, or the file would need its name."""
    text = f"{program}\n{test}\n"
    text = re.sub(r"^public\s+(?=(final\s+|abstract\s+)?class\s)", "", text, flags=re.MULTILINE)
    return {"program.java": text}


def java_main(text: str) -> str:
    """Returns the class that has main()."""
    parts = re.split(r"\bstatic\s+void\s+main\s*\(", text)
    classes = re.findall(
        r"^(?:public\s+)?(?:final\s+)?class\s+(\w+)", "".join(parts[:-1]), re.MULTILINE
    )
    return classes[-1] if classes else "Problem"


def scala_main(text: str) -> str:
    """Returns the object that has main() or is an App."""
    objects = re.findall(r"^object\s+(\w+)", text, re.MULTILINE)
    return objects[-1] if objects else "Problem"
