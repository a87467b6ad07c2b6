"""Source files of programs: the reporting call, entry points, and includes that need options."""

from codex_jax.evaluate.languages import program_files

INCLUDE_ALL = "-include /kit/cpp/all.h\n"


def test_the_call_follows_the_tests():
    files = program_files.cpp("#include <bits/stdc++.h>\n", "int main() {\n f();\n return 0;\n}\n")
    assert "codex_jax_done();\nreturn 0;" in files["program.cpp"]
    assert "codex_jax_done();\n}" in program_files.c("", "int main() {}")["program.c"]
    assert "codex_jax_done(); }" in program_files.rust("", "fn main() {\n}\n")["program.rs"]


def test_options_follow_the_includes():
    files = program_files.cpp("#include <bits/stdc++.h>\n#include <openssl/md5.h>\n", "")
    assert (files["all.txt"], files["libraries.txt"]) == (INCLUDE_ALL, "-lcrypto\n")
    files = program_files.cpp("#include <vector>\n", "int main() {}")
    assert files["all.txt"] == files["libraries.txt"] == ""


def test_the_class_with_main_is_found():
    text = "class A {}\nclass B { public static void main(String[] a) {} }\nclass C {}"
    assert program_files.java_main(text) == "B"
    assert program_files.java_main("") == "Problem"
    assert program_files.scala_main("object A {}\nobject B extends App {}") == "B"


def test_go_tests_get_a_main_function():
    files = program_files.go("package f_test\n", 'import "testing"\nfunc TestF(t *testing.T) {}')
    assert files["program.go"].startswith("package main")
    assert '{Name: "TestF", F: TestF}' in files["tests.go"]
    assert 'testing "codexjax/testing"' in files["program.go"]
    files = program_files.go("package f_test\n", 'import "testing"\nvar b testing.B')
    assert "codexjax/testing" not in files["program.go"]


def test_mbxp_s_go_tests_keep_their_main_function():
    files = program_files.go("package main\n", "func main() {\n\tf()\n}\n")
    assert files["program.go"].endswith("f()\ncodex_jax_done()\n}\n\n")
    assert "func codex_jax_done() { testing.End() }" in files["tests.go"]


def test_humaneval_x_s_rust_tests_are_called_and_crates_are_imported_only_if_used():
    program = "use rand::Rng;\nuse md5;\nfn f() { md5::compute(1) }\n"
    test = "#[cfg(test)]\nmod tests {\n#[test]\n    fn test_f() { super::f() }\n}\n"
    text = program_files.rust(program, test)["program.rs"]
    assert "use rand" not in text
    assert "use md5;" in text
    assert "pub fn test_f()" in text
    assert "fn main() { tests::test_f();  extern" in text


def test_the_compiler_of_typescript_gets_the_rules():
    files = program_files.typescript("p", "t", "MBXP")
    assert files["rules.txt"] == "MBXP"
    assert files["program.ts"].startswith("p\nt\n(globalThis")


def test_humaneval_x_has_an_older_cpp():
    text = "#include <bits/stdc++.h>\n"
    assert program_files.cpp(text, "int main() {}", "HumanEval-X")["all.txt"] == "-std=c++11\n"
