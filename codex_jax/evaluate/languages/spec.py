"""A row of the table of languages: what it needs, how it is compiled and how it is run."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from codex_jax import InputError

PATH = "/usr/local/bin:/usr/bin:/bin"  # inside, too


@dataclasses.dataclass(frozen=True, kw_only=True)
class Language:
    """One row of the table. Commands run in /tmp; a step with a server asks a compiler kept warm.

    `wrong`, `syntax` and `memory` are searched for in what a failed program has printed.
    """

    name: str
    also: tuple[str, ...] = ()  # what problem files call it
    tools: tuple[str, ...]  # that must be on PATH
    version: tuple[str, ...]
    install: str
    file: str
    run: tuple[str, ...]
    kit: str = ""  # a shell script that leaves in its folder what goes to /kit/<name>
    steps: tuple[Mapping[str, Any], ...] = ()
    end: str = ""  # a statement behind the tests, by which the driver knows that they were run
    write: Callable[[str, str], dict[str, str]] | None = None  # files of a program and its test
    main: Callable[[str], str] | None = None  # what a driver looks for, where it isn't the entry
    answers: int = 3  # the descriptor for them; 1 where a runtime can't write to another
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    proc: bool = False  # whether it can't do without /proc, as its own compiler kept warm could
    reserve_mb: int = 0  # address space that the runtime takes without using it
    start_cpu_s: float = 0.5  # that the runtime may take before the program's first line
    wrong: str = r"[Aa]ssert"
    syntax: str = r"(?!)"
    memory: str = r"(?i)out of memory|cannot allocate|memory exhausted|bad_alloc|not enough memory"
    outside: bool = False  # whether its driver can be asked for calls, by the judge outside

    def files(self, program: str, test: str) -> dict[str, str]:
        """What is written to /tmp, by name."""
        if self.write is not None:
            return self.write(program, test)
        return {self.file: f"{program}\n{test}\n{self.end}\n"}

    def command(self, mode: str, entry_point: str, memory_mb: int) -> list[str]:
        """Runs the program; mode is "tests" or "calls"."""
        given = {"mode": mode, "entry": entry_point or "-", "memory": memory_mb}
        return [word.format(**given) for word in self.run]

    def missing(self) -> list[str]:
        return [tool for tool in self.tools if shutil.which(tool, path=PATH) is None]

    def require(self) -> None:
        """Raises InputError where a tool is absent; the line says what installs it."""
        if missing := self.missing():
            raise InputError(
                f"{self.name}: {', '.join(missing)} not found; expected in {PATH}; "
                f"install with: {self.install}"
            )
