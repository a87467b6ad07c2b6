"""Runs a Python script with files of its own in a sandbox, and reads the lines that it writes."""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from codex_jax import InputError, ranges
from codex_jax.evaluate.sandbox import backends, guest_modules, python_sandbox
from codex_jax.evaluate.sandbox.sandbox import LEAST_MB, MOST_MB, Limits, SandboxInfo

_READ_BYTES = 1 << 18
_LONGEST_LINE = 1 << 16
_RANGES = {
    "memory_mb": ranges.integer(LEAST_MB, MOST_MB),
    "tmp_mb": ranges.integer(1, MOST_MB),
    "processes": ranges.integer(1),
    "output_mb": ranges.integer(1, MOST_MB),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandRunner:
    """Runs scripts without network, on read-only files and a temporary folder.

    Args:
      sandbox: gvisor, bubblewrap, or auto: the first of them that passes its self-test.
      memory_mb: MiB of memory that each process may use.
      tmp_mb: MiB of files that a script may write, all of them in /tmp.
      processes: how many it may have.
      output_mb: MiB of results after which it is ended.
    """

    sandbox: str = "auto"
    memory_mb: int = 2048
    tmp_mb: int = 256
    processes: int = 256
    output_mb: int = 256

    def check(self) -> str:
        """Returns the name of the sandbox.

        Raises:
          InputError: none works here, or a setting is out of its range.
        """
        ranges.check("CommandRunner", self, _RANGES)
        return python_sandbox.choose_backend(self.sandbox).backend.name

    def lines(
        self,
        files: pathlib.Path,
        arguments: Sequence[str],
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Yields the lines that a script writes to descriptor 3, until it ends or has to.

        Args:
          files: Folder that it sees at /kit; everybody must be able to read it.
          arguments: Of Python, such as a path below /kit.
          timeout_s: Wall time after which it is ended, with all that it started.
          environment: Variables that it has besides those of an empty system.

        Raises:
          InputError: no sandbox works here.
        """
        info = python_sandbox.choose_backend(self.sandbox)
        with tempfile.TemporaryDirectory(
            prefix="codex-jax-command-", ignore_cleanup_errors=True
        ) as scratch:
            yield from self._run(
                info, pathlib.Path(scratch), files, arguments, timeout_s, environment
            )

    def _run(
        self,
        info: SandboxInfo,
        scratch: pathlib.Path,
        files: pathlib.Path,
        arguments: Sequence[str],
        timeout_s: float,
        environment: Mapping[str, str] | None,
    ) -> Iterator[bytes]:
        scratch.chmod(0o755)
        settings = {
            "own_uid": info.backend.own_uid,
            "seccomp": info.backend.seccomp,
            "limits": self._limits(timeout_s)._asdict(),
            "arguments": list(arguments),
            "environment": dict(environment or {}),
        }
        command = [str(info.python), "-I", "-S", "-c", guest_modules.LOADER, json.dumps(settings)]
        mounts = backends.Mounts(kit=files, tmp_mb=self.tmp_mb, proc=True)
        sandbox = scratch / f"codex-jax-command-{os.urandom(8).hex()}"
        process = info.backend.start(command, python=info.python, scratch=sandbox, mounts=mounts)
        try:
            _send_modules(process)
            yield from self._read_lines(process, time.monotonic() + timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
            info.backend.cleanup(sandbox)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def _limits(self, timeout_s: float) -> Limits:
        return Limits(
            cpu_s=timeout_s,
            memory_mb=self.memory_mb,
            processes=self.processes,
            file_mb=self.tmp_mb,
            open_files=512,
        )

    def _read_lines(self, process: subprocess.Popen[bytes], deadline: float) -> Iterator[bytes]:
        assert process.stdout is not None
        descriptor, rest, total = process.stdout.fileno(), b"", 0
        while total < self.output_mb << 20:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0 or not select.select([descriptor], [], [], remaining_s)[0]:
                return
            data = os.read(descriptor, _READ_BYTES)
            if not data:
                return
            total += len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from (line for line in lines if len(line) <= _LONGEST_LINE)
            rest = rest[-_LONGEST_LINE - 1 :]


def _send_modules(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(guest_modules.pack_modules("command"))
        process.stdin.close()
    except OSError:
        error = process.stderr.read().decode("utf-8", "replace") if process.stderr else ""
        raise InputError(f"the sandbox did not start: {error.strip()[:300]}") from None
