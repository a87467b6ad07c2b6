"""Source files of a program and its tests, with a call after the tests that reports their end.

`rules` are the benchmark's, where its owners compile differently: "HumanEval-X", "MBXP" or empty.
"""

import re

_DONE = "codex_jax_done"
_RUST_TEST = r"#\[test\]\s*(?:pub\s+)?fn\s+(\w+)"
# Imports that HumanEval-X puts into every problem in Rust, and what shows that one is used.
_CRATES = {
    "use rand::Rng;": r"\brand::|\bRng\b|\bgen_range\b",
    "use regex::Regex;": r"\bregex::|\bRegex\b",
    "use md5;": r"\bmd5::",
}


def _append_call(test: str, call: str) -> str:
    """Returns a test that ends with the main function, with `call` at that function's end."""
    return re.sub(r"(\breturn\s+0\s*;\s*)?\}\s*\Z", lambda end: f"{call}\n{end[0]}", test)


def c(program: str, test: str, _: str = "") -> dict[str, str]:
    """Returns the C file."""
    head = f'void {_DONE}(void);\n#line 1 "program.c"\n'
    return {"program.c": f"{head}{program}\n{_append_call(test, _DONE + '();')}\n"}


def cpp(program: str, test: str, rules: str = "") -> dict[str, str]:
    """Returns the C++ file, and options that depend on the rules and what it includes."""
    head = f'extern "C" void {_DONE}(void);\n#line 1 "program.cpp"\n'
    text = f"{head}{program}\n{_append_call(test, _DONE + '();')}\n"
    includes = re.findall(r"^\s*#\s*include\s*<([\w+./]+)>", text, re.MULTILINE)
    openssl = any(name.startswith("openssl/") for name in includes)
    precompiled = "-include /kit/cpp/all.h\n" if "bits/stdc++.h" in includes else ""
    return {
        "program.cpp": text,
        "all.txt": "-std=c++11\n" if rules == "HumanEval-X" else precompiled,
        "libraries.txt": "-lcrypto\n" if openssl else "",
    }


def rust(program: str, test: str, _: str = "") -> dict[str, str]:
    """Returns the Rust file; a main function calls the tests of HumanEval-X."""
    call = f'extern "C" {{ fn {_DONE}(); }} unsafe {{ {_DONE}(); }}'
    if names := re.findall(_RUST_TEST, test):
        test = re.sub(_RUST_TEST, r"pub fn \1", test.replace("#[cfg(test)]", ""))
        module = re.findall(r"\bmod\s+(\w+)\s*\{", test)[:1]
        calls = "".join("::".join([*module, name]) + "(); " for name in names)
        test = f"{test}\nfn main() {{ {calls} }}"
    text = f"{program}\n{_append_call(test, call)}\n"
    for line, use in _CRATES.items():
        if not re.search(use, text.replace(line, "")):
            text = text.replace(line, "")
    return {"program.rs": text}


def typescript(program: str, test: str, rules: str = "") -> dict[str, str]:
    """Returns the TypeScript file, and the rules for the compiler that stays."""
    end = "(globalThis as any).codexJaxEnd = true;"
    return {"program.ts": f"{program}\n{test}\n{end}\n", "rules.txt": rules}


def go(program: str, test: str, _: str = "") -> dict[str, str]:
    """Returns the program and its tests as one package, with a main function that runs the tests.

    Tests that use only T of `testing` get a smaller replacement, which links faster. MBXP's have a
    main function of their own.
    """
    head = "package main\n\nimport "
    if re.search(r"^func\s+main\s*\(", test, re.MULTILINE):
        ended = f"{program}\n{_append_call(test, _DONE + '()')}\n"
        end = f'{head}"codexjax/testing"\n\nfunc {_DONE}() {{ testing.End() }}\n'
        return {"program.go": ended, "tests.go": end}
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
    return {"program.go": text, "tests.go": f"{head}{imports}\n\nfunc main() {{ {call} }}\n"}


def java(program: str, test: str, _: str = "") -> dict[str, str]:
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
