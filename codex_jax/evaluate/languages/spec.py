"""A row of the table of languages: what it needs, how its programs are compiled and run."""

import dataclasses
import functools
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codex_jax.evaluate.languages import program_files

PATH = "/usr/local/bin:/usr/bin:/bin"  # in the sandbox, too
_VISIBLE = ("/usr", "/bin", "/sbin", "/lib", "/etc/alternatives")  # to toolchains in the sandbox
_ENVIRONMENT = {"PATH": PATH, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
_PROBE_S = 60.0
# Comments of several lines, docstrings, and what the C preprocessor may skip.
_BLOCK = r"""(?ms)/\*.*?\*/|""\".*?""\"|\'\'\'.*?\'\'\'|^\s*#\s*if.*?^\s*#\s*endif"""
_LIBRARY = r"[\w@][\w.:/@+*{}-]*"  # the name of one, as programs spell it
DRIVERS = pathlib.Path(__file__).with_name("drivers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A library or part of a toolchain: `probe` exits with 0 where it is installed."""

    name: str
    probe: tuple[str, ...]  # its output is part of the key of verdicts: print a version
    install: str
    used_by: str = ""  # pattern of the problems that need it; empty: all do

    def version(self, env: Mapping[str, str]) -> str | None:
        """Output of the probe, or None where the part is missing."""
        probe = tuple(word.replace("{drivers}", str(DRIVERS)) for word in self.probe)
        return run_probe(probe, tuple(env.items()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Language:
    """A row of languages.toml; its commands run in /tmp of the sandbox.

    The patterns are searched for in the output of a failed program, out_of_memory_pattern first.
    """

    name: str
    aliases: tuple[str, ...] = ()  # names in problem files
    tools: tuple[str, ...]  # executables on PATH; without the first, the language is absent
    version_command: tuple[str, ...]
    install: str
    parts: tuple[Part, ...] = ()
    filename: str
    layout: str = ""  # function of program_files that makes the files of a program and its test
    find_main: str = ""  # function of program_files that finds the entry point for the driver
    build_script: str = ""  # in toolchains/: leaves in its folder what goes to /kit/<name>
    steps: tuple[Mapping[str, Any], ...] = ()  # a command, or a request to a compiler that stays
    run: tuple[str, ...]
    end_marker: str = ""  # a statement after the tests; the driver checks that it was executed
    answer_fd: int = 3  # the descriptor for answers; 1 where a runtime can't write to another
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    needs_proc: bool = False
    reserved_address_mb: int = 0  # address space that the runtime reserves without using it
    start_cpu_s: float = 0.5  # CPU time of the runtime before the program's first line
    error_pattern: str  # of the lines of an output that say what is wrong
    assertion_pattern: str = r"[Aa]ssert"
    syntax_error_pattern: str = r"(?!)"
    out_of_memory_pattern: str = (
        r"(?i)out of memory|cannot allocate|memory exhausted|bad_alloc|not enough memory"
    )
    supports_host_check: bool = False  # whether its driver answers calls of a check() in Python
    import_pattern: str = ""  # of lines that load libraries: names are its groups
    import_statement: str = ""  # loads the library {name}; empty: the line itself does
    install_library: str = ""  # command for the library {name}, or {package} as Debian spells it
    check_program: str  # a right program, and a wrong one with "+ 2" for "+ 1"
    check_test: str

    def files(self, program: str, test: str, rules: str = "") -> dict[str, str]:
        """Files of a program and its test, by name; `rules` are those of problems/translated.py."""
        if self.layout:
            layout: Callable[[str, str, str], dict[str, str]] = getattr(program_files, self.layout)
            return layout(program, test, rules)
        return {self.filename: f"{program}\n{test}\n{self.end_marker}\n"}

    def imports(self, text: str) -> dict[str, str]:
        """Statements of a text that load libraries, by the library's name."""
        if not self.import_pattern:
            return {}
        statements: dict[str, str] = {}
        for line in re.finditer(self.import_pattern, _without_comments(text), re.MULTILINE):
            for part in next(filter(None, line.groups())).split(","):
                name = part.split()[0] if part.split() else ""
                if re.fullmatch(_LIBRARY, name):
                    statement = self.import_statement.format(name=name) or line[0].strip()
                    statements.setdefault(name, statement)
        return statements

    def check_imports(self, statements: Sequence[str]) -> str:
        """The right program, which executes the statements first."""
        head, _, rest = self.check_program.partition("\n")
        if not re.match(r"<\?php|package ", head):
            head, rest = "", self.check_program
        return "\n".join([head, *statements, rest]).strip("\n")

    def main(self, text: str, entry_point: str) -> str:
        """Entry point of a text for the driver."""
        return getattr(program_files, self.find_main)(text) if self.find_main else entry_point

    def command(self, mode: str, entry_point: str, memory_mb: int) -> list[str]:
        """Command that runs the program; mode is "tests" or "calls"."""
        fields = {"mode": mode, "entry": entry_point or "-", "memory": memory_mb}
        return [word.format(**fields) for word in self.run]

    def is_absent(self) -> bool:
        """Whether its main tool is not on PATH."""
        return shutil.which(self.tools[0], path=PATH) is None

    def needed_parts(self, text: str | None) -> list[Part]:
        """Parts that problems of this text need; all parts for None."""
        return [
            part
            for part in self.parts
            if not part.used_by or text is None or re.search(part.used_by, text, re.MULTILINE)
        ]

    def missing(self, text: str | None = None) -> dict[str, str]:
        """Missing tools and parts -> the command that installs them.

        Args:
          text: prompt and test of the problems to be judged; None asks for all parts.
        """
        faults = {fault: self.install for tool in self.tools if (fault := _tool_fault(tool))}
        if faults:
            return faults
        parts = self.needed_parts(text)
        return {part.name: part.install for part in parts if part.version(self.env) is None}


def _without_comments(text: str) -> str:
    """Returns a text without comments and conditions, with a line for each import of Go's."""
    text = re.sub(_BLOCK, "", text)
    block = r"(?m)^import\s*\(([^)]*)\)"
    return re.sub(block, lambda lines: re.sub(r"(?m)^\s*", "import ", lines[1]), text)


def _tool_fault(tool: str) -> str:
    """Name of a tool that is not on PATH or not visible in the sandbox; else empty."""
    path = shutil.which(tool, path=PATH)
    if path is None:
        return tool
    target = pathlib.Path(path).resolve()
    if any(target.is_relative_to(folder) for folder in _VISIBLE):
        return ""
    return f"{tool}, which is {target}, outside of /usr"


@functools.cache
def run_probe(command: tuple[str, ...], env: tuple[tuple[str, str], ...] = ()) -> str | None:
    """Runs a command on the host as in the sandbox; its output, or None where it fails."""
    try:
        result = subprocess.run(
            command,
            check=False,
            env={**_ENVIRONMENT, **dict(env)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PROBE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if result.returncode else result.stdout.decode("utf-8", "replace").strip()
