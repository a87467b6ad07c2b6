"""Messages: of what compilers and programs print, the line that says what is wrong is kept."""

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.evaluate.languages import messages, registry, spec, toolchain_sandbox

# Outputs of real tools: language, output, how the message begins, and what it must also hold.
PLAYED = {
    "python, assertion": (
        "python",
        "Traceback (most recent call last):\n"
        '  File "/kit/drivers/driver.py", line 21, in <module>\n'
        '    run(*sys.argv[1:])\n  File "program.py", line 3, in <module>\n    assert f(1) == 2\n'
        "           ^^^^^^^^^\nAssertionError\n",
        "AssertionError: assert f(1) == 2",
        "",
    ),
    "python, exception": (
        "python",
        "Traceback (most recent call last):\nKeyError: 'a'\n\n"
        "During handling of the above exception:"
        '\n\nTraceback (most recent call last):\n  File "program.py", line 3, in f\n'
        "    raise X(2)\n"
        "ValueError: not 2\n",
        "ValueError: not 2",
        "",
    ),
    "javascript, assertion": (
        "javascript",
        "node:assert:90\n  throw new AssertionError(obj);\n  ^\n\nAssertionError [ERR_ASSERTION]: "
        "Expected values to be loosely deep-equal:\n\n[\n  1\n]\n\nshould loosely deep-equal\n\n[\n"
        "  2\n]\n    at Object.<anonymous> (/tmp/program.js:2:8)\n"
        "    at Module._compile (node:x)\n",
        "AssertionError [ERR_ASSERTION]: Expected values to be loosely deep-equal:",
        "[ 1 ] should loosely deep-equal [ 2 ]",
    ),
    "javascript, thrown text": (
        "javascript",
        "program.js:33\n    throw 'Error at 1th assert statement. Value = '\n    ^\n"
        "Error at 1th assert statement. Value = 3\n(Use `node --trace-uncaught ...` to show)\n",
        "Error at 1th assert statement. Value = 3",
        "",
    ),
    "typescript": (
        "typescript",
        "program.ts(3,5): error TS2304: Cannot find name 'x'.\n"
        "program.ts(4,1): error TS1005: ';'\n",
        "program.ts(3,5): error TS2304: Cannot find name 'x'.",
        "TS1005",
    ),
    "go, compiler": ("go", "program.go:3:20: undefined: y\n", "program.go:3:20: undefined: y", ""),
    "go, test": (
        "go",
        "hello\n--- FAIL: TestF: expected 3\n",
        "--- FAIL: TestF: expected 3",
        "",
    ),
    "go, panic": (
        "go",
        "panic: runtime error: index out of range [3] with length 0\n\ngoroutine 1 [running]:\n"
        "main.main()\n\t/tmp/program.go:5 +0x1a\n",
        "panic: runtime error: index out of range [3] with length 0",
        "",
    ),
    "java, compiler": (
        "java",
        "Note: program.java uses unchecked operations.\n/tmp/program.java:27: error: incompatible "
        "types: Integer cannot be converted to Double\n            return x;\n        ^\n1 error\n",
        "/tmp/program.java:27: error: incompatible types: Integer cannot be converted to Double",
        "return x;",
    ),
    "java, exception": (
        "java",
        "checking\njava.lang.AssertionError: 3\n\tat Problem.main(Problem.java:9)\n"
        "\tat Driver.main\n",
        "java.lang.AssertionError: 3",
        "",
    ),
    "ruby, assertion": (
        "ruby",
        "Loaded suite program\nStarted\nF\n=====\nFailure: test_f(T)\nprogram.rb:4:in `test_f'\n"
        '     1: require "test/unit"\n  => 4:  assert_equal(2, 3)\n     5:  end\n'
        "<2> expected but was\n<3>\n=====\n\nFinished in 0.02 seconds.\n",
        "Failure: test_f(T)",
        "<2> expected but was <3>",
    ),
    "ruby, exception": (
        "ruby",
        "program.rb:1:in `f': undefined method `foo' for 3:Integer (NoMethodError)\n\n"
        "def f(x) x.foo end\n          ^^^^\n\tfrom program.rb:2:in `<main>'\n",
        "program.rb:1:in `f': undefined method `foo' for 3:Integer (NoMethodError)",
        "",
    ),
    "php": (
        "php",
        "PHP Warning:  Undefined variable $x in /tmp/program.php on line 2\n"
        "PHP Fatal error:  Uncaught Exception: Test failed! in /tmp/program.php:3\nStack trace:\n"
        "#0 {main}\n  thrown in /tmp/program.php on line 3\n",
        "PHP Fatal error: Uncaught Exception: Test failed! in /tmp/program.php:3",
        "",
    ),
    "perl": (
        "perl",
        "Use of uninitialized value $x in addition (+) at program.pl line 3.\n"
        'Global symbol "$y" requires explicit package name at program.pl line 4.\n'
        "Execution of program.pl aborted due to compilation errors.\n",
        'Global symbol "$y" requires explicit package name at program.pl line 4.',
        "",
    ),
    "bash": (
        "bash",
        "some output\n/tmp/program.sh: line 3: syntax error near unexpected token `then'\n",
        "/tmp/program.sh: line 3: syntax error near unexpected token `then'",
        "",
    ),
    "cpp": (
        "cpp",
        "In file included from program.cpp:1:\nprogram.cpp: In function ‘long int f(long int)’:\n"
        "program.cpp:2:22: warning: unused variable ‘unused’ [-Wunused-variable]\n"
        "program.cpp:2:41: error: ‘y’ was not declared in this scope\n"
        "    2 | long f(long n) { return n + y; }\n      |                             ^\n",
        "program.cpp:2:41: error: ‘y’ was not declared in this scope",
        "return n + y;",
    ),
    "cpp, assertion": (
        "cpp",
        "program: program.cpp:7: int main(): Assertion `f(1) == 2' failed.\n",
        "program: program.cpp:7: int main(): Assertion `f(1) == 2' failed.",
        "",
    ),
    "c, linker": (
        "c",
        "program.c: In function ‘main’:\n"
        "program.c:2:25: warning: implicit declaration of function\n"
        "/usr/bin/ld: /tmp/x.o: in function `main':\nprogram.c:(.text+0xa): undefined reference to "
        "`missing'\ncollect2: error: ld returned 1 exit status\n",
        "program.c:(.text+0xa): undefined reference to `missing'",
        "",
    ),
    "rust, compiler": (
        "rust",
        "warning: unused variable: `unused`\n --> program.rs:2:6\n  |\n2 |  let unused = 1;\n\n"
        'error[E0308]: mismatched types\n --> program.rs:1:26\n  |\n1 | let x: i32 = "a";\n'
        "  |        ---   ^^^ expected `i32`, found `&str`\n\n"
        "error: aborting due to previous error\n",
        "error[E0308]: mismatched types --> program.rs:1:26",
        "",
    ),
    "rust, assertion": (
        "rust",
        "thread 'main' panicked at 'assertion failed: `(left == right)`\n  left: `2`,\n"
        " right: `3`', "
        "program.rs:3:5\nstack backtrace:\n   0: rust_begin_unwind\n",
        "thread 'main' panicked at 'assertion failed: `(left == right)` left: `2`, right: `3`'",
        "",
    ),
    "lua, luaunit": (
        "lua",
        "F\nFailed tests:\n-------------\n1) Test.test_a\nprogram.lua:3: expected: 3, actual: 2\n"
        "stack traceback:\n\tprogram.lua:3: in upvalue 'Test.test_a'\n",
        "program.lua:3: expected: 3, actual: 2",
        "",
    ),
    "r": (
        "r",
        "Loading required package: x\nError in f(1) : object 'y' not found\n"
        "Calls: stopifnot -> f\n",
        "Error in f(1) : object 'y' not found",
        "",
    ),
    "csharp, compiler": (
        "csharp",
        "program.cs(2,30): warning CS0168: The variable `unused' is declared but never used\n"
        "program.cs(2,52): error CS0103: The name `y' does not exist in the current context\n"
        "Compilation failed: 1 error(s), 1 warnings\n",
        "program.cs(2,52): error CS0103: The name `y' does not exist in the current context",
        "",
    ),
    "csharp, exception": (
        "csharp",
        "System.Exception: Debug.Assert failed: \n  at Problem.Main (System.String[] args) [0x0]\n",
        "System.Exception: Debug.Assert failed:",
        "",
    ),
    "scala": (
        "scala",
        "program.scala:1: warning: unused\nprogram.scala:1: error: type mismatch;\n"
        ' found   : String("s")\n required: Int\n       ^\none error found\n',
        'program.scala:1: error: type mismatch; found : String("s") required: Int',
        "",
    ),
}


@pytest.mark.parametrize("case", PLAYED)
def test_the_line_that_helps_comes_first(case):
    name, output, beginning, more = PLAYED[case]
    noise = "".join(f"line {i} of the program's own output\n" for i in range(200))
    for text in (output, noise + output):
        message = toolchain_sandbox._message(registry.find_language(name), text)
        assert message.startswith(beginning), message
        assert more in message
        assert not {"  ", "\n"} & {message[i : i + 2] for i in range(len(message))}


def test_all_languages_are_played():
    assert {language for language, *_ in PLAYED.values()} == set(registry.languages())


@hypothesis.given(st.text(max_size=2000))
def test_a_message_is_one_short_line_of_the_output(text):
    message = messages.find_helpful_lines(text, "error: ")
    assert len(message) <= 300
    assert len(message.splitlines()) <= 1
    assert set(message) <= {*text, " "}


def test_without_an_error_it_is_the_beginning():
    assert messages.find_helpful_lines("one\n\n   two\n", "error: ") == "one two"
    assert messages.find_helpful_lines("", "error: ") == ""


def test_a_library_that_is_absent_is_named_with_what_installs_it(monkeypatch):
    language = registry.find_language("cpp")
    monkeypatch.setattr(spec.Part, "version", lambda *_: None)
    result = {
        "reason": "closed",
        "cpu_s": 1.0,
        "output": "program.cpp:1:10: fatal error: boost/any",
    }
    text = "#include <boost/any.hpp>\n"
    outcome = toolchain_sandbox._compile_failure(language, text, result)
    assert outcome.detail.startswith("program.cpp:1:10: fatal error: boost/any; ")
    assert outcome.detail.endswith(
        "apt-get install g++ binutils libc6-dev && apt-get install libboost-dev"
    )
