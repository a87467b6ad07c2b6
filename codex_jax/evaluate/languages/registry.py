"""The languages: a row for each, saying what it needs, how it is compiled and how it is run.

Inside, a program lies in /tmp, what its language was made ready with in /kit/<name>, and the
drivers in /kit/drivers. A driver gets a token on its standard input, runs the program with its
tests, and gives the token back only when they have come to their end.
"""

import functools
import pathlib
import shutil
import subprocess

from codex_jax import InputError
from codex_jax.evaluate.languages import program_files
from codex_jax.evaluate.languages.spec import PATH, Language

# The JVM looks for its libraries beside /proc/self/exe, which isn't there.
_JVM_HOME = pathlib.Path(shutil.which("java", path=PATH) or "/usr/bin/java").resolve().parent.parent
_JVM_LIBRARIES = {"LD_LIBRARY_PATH": str(_JVM_HOME / "lib")}
_ASKED = ("{mode}", "{entry}")
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xss16m")
_GO = {"GOMAXPROCS": "1", "GOROOT": "/usr/lib/go", "GOCACHE": "/tmp/cache"}
_GO_BUILD = (  # in one process: a sandbox's forks are dearer than a shell's
    "export GOGC=off; "
    "/kit/go/compile -p main -importcfg /kit/go/importcfg -pack -dwarf=false -o program.a "
    "program.go tests.go && exec /kit/go/link -importcfg /kit/go/importcfg -s -w "
    "-o program program.a"
)
_NODE = ("node", "--max-old-space-size={memory}", "/kit/drivers/driver.js")
_NODE += (*_ASKED, "/tmp/program.js")
_NODE_MEMORY = r"heap out of memory|Array buffer allocation failed"
_TSC = ("node", "/kit/drivers/typescript.js")
_JAVAC = ("java", *_JVM, "-Xmx512m", "-cp", "/kit/java", "Compiler")
_LINKED = "if [ -x /usr/bin/ld.gold ]; then echo -fuse-ld=gold; fi > flags.txt\n"

_C_KIT = _LINKED + "gcc -O1 -c /kit/drivers/done.c -o done.o\n"
_CPP_KIT = f"""{_LINKED}
gcc -O1 -c /kit/drivers/done.c -o done.o
echo '#include <bits/stdc++.h>' > all.h
g++ -std=c++17 -pthread -x c++-header all.h -o all.h.gch
"""
_GO_KIT = """
go list -export -f '{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}' std > listed
while IFS='=' read -r name path; do
    case $path in
        /tmp/*) kept=$(basename "$path"); cp "$path" "$kept"; echo "$name=/kit/go/$kept" ;;
        *) echo "$name=$path" ;;
    esac
done < listed > importcfg
for name in testing done; do
    go tool compile -o $name.a -p codexjax/$name -importcfg importcfg -pack /kit/drivers/$name.go
    echo "packagefile codexjax/$name=/kit/go/$name.a" >> importcfg
done
cp "$(go env GOTOOLDIR)/compile" "$(go env GOTOOLDIR)/link" .
"""
_JAVA_KIT = """
mkdir classes
javac -nowarn -d . /kit/drivers/Driver.java /kit/drivers/Compiler.java
sh /kit/drivers/tuples.sh
"""


def _java(path: str) -> tuple[str, ...]:
    return ("java", *_JVM, "-Xmx{memory}m", "-ea", "-cp", path, "Driver", *_ASKED)


LANGUAGES = {
    language.name: language
    for language in (
        Language(
            name="python",
            also=("py", "python3"),
            tools=("python3",),
            version=("python3", "--version"),
            install="apt-get install python3",
            file="program.py",
            end='__import__("sys").codex_jax_end = True',
            run=("python3", "-I", "-S", "/kit/drivers/driver.py", *_ASKED, "/tmp/program.py"),
            syntax=r"(?m)^(Syntax|Indentation|Tab)Error",
            memory=r"MemoryError",
            wrong=r"AssertionError",
        ),
        Language(
            name="javascript",
            also=("js", "node"),
            tools=("node",),
            version=("node", "--version"),
            install="apt-get install nodejs",
            file="program.js",
            end="globalThis.codexJaxEnd = true;",
            run=_NODE,
            reserve_mb=4096,
            wrong=r"AssertionError|ERR_ASSERTION",
            syntax=r"(?m)^SyntaxError",
            memory=_NODE_MEMORY,
            outside=True,
        ),
        Language(
            name="typescript",
            also=("ts",),
            tools=("node", "tsc"),
            version=("tsc", "--version"),
            install="npm install -g typescript (or apt-get install node-typescript)",
            file="program.ts",
            end="(globalThis as any).codexJaxEnd = true;",
            steps=({"server": _TSC, "file": "/tmp/program.ts", "out": "/tmp/program.js"},),
            run=_NODE,
            reserve_mb=4096,
            wrong=r"AssertionError|ERR_ASSERTION",
            memory=_NODE_MEMORY,
        ),
        Language(
            name="go",
            also=("go_test.go", "golang"),
            tools=("go",),
            version=("go", "version"),
            install="apt-get install golang-go",
            file="program.go",
            kit=_GO_KIT,
            env=_GO,
            write=program_files.go,
            steps=({"argv": ("sh", "-c", _GO_BUILD)},),
            run=("/tmp/program",),
            reserve_mb=2048,
            wrong=r"(?s)\A(?!.*(^|\n)(panic|fatal error): ).*--- FAIL",
        ),
        Language(
            name="java",
            tools=("java", "javac"),
            version=("java", "--version"),
            install="apt-get install default-jdk-headless",
            env=_JVM_LIBRARIES,
            file="program.java",
            kit=_JAVA_KIT,
            write=program_files.java,
            main=program_files.java_main,
            steps=({"server": _JAVAC, "file": "program.java"},),
            run=_java("/tmp:/kit/java:/kit/java/tuples.jar"),
            answers=1,
            reserve_mb=4096,
            start_cpu_s=1.0,
            wrong=r"(?m)^java\.lang\.AssertionError",
            memory=r"OutOfMemoryError",
        ),
        Language(
            name="ruby",
            also=("rb",),
            tools=("ruby",),
            version=("ruby", "--version"),
            install="apt-get install ruby ruby-test-unit",
            file="program.rb",
            end="$codex_jax_end = true",
            run=("ruby", "--disable=gems", "/kit/drivers/driver.rb", *_ASKED, "/tmp/program.rb"),
            kit="ruby -e 'puts %w[test-unit power_assert].map { |n| "
            "Gem::Specification.find_by_name(n).full_require_paths }.flatten' > paths\n",
            wrong=r"(?s)\A(?!.*\nError: ).*(\nFailure: |AssertionFailedError)",
            syntax=r"syntax error|SyntaxError",
            memory=r"NoMemoryError|failed to allocate memory",
            outside=True,
        ),
        Language(
            name="php",
            tools=("php",),
            version=("php", "--version"),
            install="apt-get install php-cli",
            file="program.php",
            end="$GLOBALS['codex_jax_end'] = true;",
            run=("php", "/kit/drivers/driver.php", *_ASKED, "/tmp/program.php"),
            wrong=r"Test failed!|[Aa]ssert",
            syntax=r"PHP Parse error|Parse error:",
            memory=r"Allowed memory size|Out of memory",
            outside=True,
        ),
        Language(
            name="perl",
            also=("pl",),
            tools=("perl",),
            version=("perl", "-e", "print qq(perl $^V)"),
            install="apt-get install perl libtest-deep-perl",
            file="program.pl",
            end="$main::codex_jax_end = 1;",
            run=("perl", "/kit/drivers/driver.pl", *_ASKED, "/tmp/program.pl"),
            wrong=r"(?s)\A(?!.* at \S+ line \d+)|[Aa]ssert",
            syntax=r"syntax error|Compilation failed|requires explicit package name",
            memory=r"Out of memory",
            outside=True,
        ),
        Language(
            name="bash",
            also=("sh",),
            tools=("bash",),
            version=("bash", "--version"),
            install="apt-get install bash",
            file="program.sh",
            end="codex_jax_end=1",
            run=("bash", "/kit/drivers/driver.sh", *_ASKED, "/tmp/program.sh"),
            wrong=r"(?s)\A(?!.*program\.sh: line )",
            syntax=r"syntax error|unexpected end of file|unexpected EOF",
        ),
        Language(
            name="cpp",
            also=("c++", "cc", "cxx"),
            tools=("g++",),
            version=("g++", "--version"),
            install="apt-get install g++",
            file="program.cpp",
            kit=_CPP_KIT,
            write=program_files.cpp,
            steps=(
                {
                    "argv": (
                        *("g++", "-std=c++17", "@all.txt", "@/kit/cpp/flags.txt", "-o", "program"),
                        *("program.cpp", "/kit/cpp/done.o", "-pthread"),
                    )
                },
            ),
            run=("/tmp/program",),
        ),
        Language(
            name="c",
            tools=("gcc",),
            version=("gcc", "--version"),
            install="apt-get install gcc libc6-dev",
            file="program.c",
            kit=_C_KIT,
            write=program_files.c,
            steps=(
                {
                    "argv": (
                        *("gcc", "-std=gnu17", "@/kit/c/flags.txt", "-o", "program"),
                        *("program.c", "/kit/c/done.o", "-lm"),
                    )
                },
            ),
            run=("/tmp/program",),
        ),
        Language(
            name="rust",
            also=("rs",),
            tools=("rustc", "cc"),
            version=("rustc", "--version"),
            install="apt-get install rustc",
            file="program.rs",
            kit=_C_KIT,
            write=program_files.rust,
            steps=(
                {
                    "argv": (
                        *(
                            *("rustc", "--edition", "2021", "--sysroot", "/usr"),
                            *("-A", "warnings", "-C", "debuginfo=0"),
                        ),
                        *("-C", "link-arg=/kit/rust/done.o", "-o", "program", "program.rs"),
                    )
                },
            ),
            run=("/tmp/program",),
            proc=True,
            wrong=r"assertion failed",
            memory=r"memory allocation of \d+ bytes failed",
        ),
        Language(
            name="lua",
            tools=("lua",),
            version=("lua", "-v"),
            install="apt-get install lua5.4 lua-unit",
            file="program.lua",
            run=("lua", "/kit/drivers/driver.lua", *_ASKED, "/tmp/program.lua"),
            answers=1,
            wrong=r"(?s)\A(?!.*attempt to ).*(Failed tests:|expected: )|[Aa]ssert",
            syntax=r"^program\.lua:\d+: .*(expected|unexpected|unfinished|near)",
            memory=r"not enough memory",
            outside=True,
        ),
        Language(
            name="r",
            tools=("Rscript",),
            version=("Rscript", "--version"),
            install="apt-get install r-base-core",
            file="program.R",
            end="codex_jax_end <- TRUE",
            run=("Rscript", "--vanilla", "/kit/drivers/driver.R", *_ASKED, "/tmp/program.R"),
            answers=1,
            start_cpu_s=1.0,
            wrong=r"is not TRUE|are not all TRUE",
            syntax=r"unexpected (symbol|string|input|end of input|numeric|assignment|['\"])",
        ),
        Language(
            name="csharp",
            also=("cs", "c#"),
            tools=("mcs", "mono"),
            version=("mono", "--version"),
            install="apt-get install mono-mcs mono-runtime libmono-system-numerics4.0-cil "
            "libmono-system-core4.0-cil",
            file="program.cs",
            kit="mcs -nologo -d:DEBUG -out:driver.exe /kit/drivers/driver.cs\n",
            steps=(
                {
                    "argv": (
                        *("mcs", "-nologo", "-d:DEBUG", "-r:System.Numerics.dll"),
                        *("-out:program.exe", "program.cs"),
                    )
                },
            ),
            run=("mono", "/kit/csharp/driver.exe", *_ASKED, "/tmp/program.exe"),
            answers=1,
            proc=True,
            reserve_mb=2048,
            start_cpu_s=1.0,
            wrong=r"Debug\.Assert failed",
            memory=r"OutOfMemoryException",
        ),
        Language(
            name="scala",
            tools=("scalac", "java", "javac"),
            version=("scalac", "-version"),
            install="apt-get install scala default-jdk-headless",
            env=_JVM_LIBRARIES,
            file="program.scala",
            kit="javac -nowarn -d . /kit/drivers/Driver.java\n",
            main=program_files.scala_main,
            steps=({"argv": ("scalac", "-nowarn", "-nobootcp", "-d", "/tmp", "program.scala")},),
            run=_java("/tmp:/kit/scala:/usr/share/java/scala-library.jar"),
            answers=1,
            reserve_mb=4096,
            start_cpu_s=2.0,
            wrong=r"(?m)^java\.lang\.AssertionError",
            memory=r"OutOfMemoryError",
        ),
    )
}


@functools.cache
def runtime(name: str) -> str:
    """The version the language's tool calls itself by; empty where it is absent."""
    language = LANGUAGES[name]
    if language.missing():
        return ""
    told = subprocess.run(
        language.version,
        env={"PATH": PATH, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    lines = [line for line in told.stdout.splitlines() if line.strip()]
    return lines[0].strip()[:80] if lines else "unknown"


def named(name: str) -> Language:
    """The language that problem files call `name`.

    Raises:
      InputError: there is no such row.
    """
    for language in LANGUAGES.values():
        if name.lower() in (language.name, *language.also):
            return language
    raise InputError(f"language {name!r}; expected one of {', '.join(LANGUAGES)}; turn problems")


def list_languages() -> None:
    """Prints a line for each language: its version here, or the command that installs it."""
    for language in LANGUAGES.values():
        found = runtime(language.name)
        print(f"{language.name:12}{found or 'absent; install with: ' + language.install}")
