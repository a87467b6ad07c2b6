"""One running sandbox, seen from outside: frames to its fork server and back."""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import select
import shutil
import struct
import subprocess
import tempfile
import time

from codex_jax import InputError
from codex_jax.evaluate import backends

_START_S = 30.0
_MODULES = ("values", "confine")
_INSIDE = pathlib.Path(__file__).with_name("inside")
_BOOT = """import sys, types
for name, text in {modules!r}:
    name = "codex_jax.evaluate.inside." + name
    sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), sys.modules[name].__dict__)
    setattr(sys.modules.setdefault("codex_jax.evaluate.inside", types.ModuleType("inside")),
            name.rpartition(".")[2], sys.modules[name])
exec(compile({main!r}, "zygote", "exec"))
"""


class SandboxLostError(Exception):
    """The sandbox is gone or silent: nothing it was doing has a verdict yet."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use. CPU seconds decide; asleep, it may take twice as many."""

    cpu_s: float = 3.0
    memory_mb: int = 1024
    processes: int = 32
    file_mb: int = 16
    open_files: int = 64
    answer_mb: int = 8


class Sandbox:
    """A fork server in `backend`, started at once; a context manager.

    What it needs on disk, if anything, lies in a new folder in `folder` or among temporary files.

    Raises:
      SandboxLostError: it doesn't come up in time; the message holds what it printed.
    """

    def __init__(
        self, backend: backends.Backend, python: pathlib.Path, folder: pathlib.Path | None = None
    ):
        self.backend = backend
        name = f"codex-jax-sandbox-{secrets.token_hex(8)}"
        self.scratch = (folder or pathlib.Path(tempfile.gettempdir())) / name
        settings = {"own_uid": backend.own_uid, "seccomp": backend.seccomp}
        command = [str(python), "-I", "-S", "-c", _boot_text(), json.dumps(settings)]
        self._unread = bytearray()
        self.soiled = False  # a program left something behind: not to be used again
        self._process = backend.start(command, python=python, scratch=self.scratch)
        try:
            self.python = json.loads(self.receive(b"H", within_s=_START_S))["python"]
        except SandboxLostError as lost:
            said = self.stop()
            raise SandboxLostError(f"{lost}: {said}") from None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(self, operation: bytes, body: bytes = b"") -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(operation + struct.pack(">I", len(body)) + body)
            stdin.flush()
        except OSError:
            raise SandboxLostError("its input is closed") from None

    def receive(self, expected: bytes, *, within_s: float) -> bytes:
        """The body of the next frame, whose operation must be `expected`."""
        operation, body = self.receive_any(within_s=within_s)
        if operation != expected:
            raise SandboxLostError(f"it said {operation!r} where {expected!r} was due")
        return body

    def receive_any(self, *, within_s: float) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + within_s
        while len(self._unread) < 5:
            self._read_more(deadline)
        size = 5 + struct.unpack(">I", self._unread[1:5])[0]
        while len(self._unread) < size:
            self._read_more(deadline)
        operation, body = bytes(self._unread[:1]), bytes(self._unread[5:size])
        del self._unread[:size]
        return operation, body

    def _read_more(self, deadline: float) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        poll = select.poll()
        poll.register(stdout.fileno(), select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SandboxLostError("it is silent")
        data = os.read(stdout.fileno(), 1 << 18)
        if not data:
            raise SandboxLostError("it is gone")
        self._unread += data

    def stop(self) -> str:
        """Ends the sandbox and all in it; returns the last line it printed to stderr."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close(pipe)  # the fork server takes this as the order to die
        try:
            process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            process.kill()
        self.backend.clear_away(self.scratch)
        said = b""
        if process.stderr is not None:
            os.set_blocking(process.stderr.fileno(), False)
            said = process.stderr.read() or b""
            process.stderr.close()
        process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it printed nothing"


def _close(pipe) -> None:
    with contextlib.suppress(OSError):
        pipe.close()


def _boot_text() -> str:
    modules = [(name, (_INSIDE / f"{name}.py").read_text(encoding="utf-8")) for name in _MODULES]
    main = (_INSIDE / "zygote.py").read_text(encoding="utf-8")
    return _BOOT.format(modules=modules, main=main)


def choose(isolation: str) -> tuple[backends.Backend, pathlib.Path]:
    """A backend that passes its self-test and the Python it runs; "auto" tries gVisor first.

    Raises:
      InputError: none works; the line says why and what to install.
    """
    if isolation != "auto" and isolation not in backends.BACKENDS:
        known = ", ".join(backends.BACKENDS)
        raise InputError(f"isolation {isolation!r}; expected auto, {known}; turn isolation")
    names = list(backends.BACKENDS) if isolation == "auto" else [isolation]
    reasons = []
    for name in names:
        backend = backends.BACKENDS[name]
        if not backend.installed():
            reasons.append(f"{name} is not installed")
            continue
        for python in backends.interpreters():
            if not (why := _self_test(backend, python)):
                return backend, python
            reasons.append(f"{name} with {python}: {why}")
    needs = " or ".join(backends.BACKENDS[name].needs for name in names)
    raise InputError(f"no sandbox works ({'; '.join(reasons)}); expected {needs}; install one")


_PROBE = """
import os, socket
def probe(_):
    found = []
    for path in ("/usr/x", "/x", "/dev/x"):
        try:
            open(path, "w"); found.append("wrote " + path)
        except OSError:
            pass
    try:
        socket.create_connection(("1.1.1.1", 53), timeout=1); found.append("has a network")
    except OSError:
        pass
    if os.environ: found.append("has an environment")
    return found
"""


def _self_test(backend: backends.Backend, python: pathlib.Path) -> str:
    """Empty where the sandbox starts, confines and answers; otherwise why not."""
    try:
        with Sandbox(backend, python) as sandbox:
            sandbox.send(b"P", _PROBE.encode())
            sandbox.receive(b"D", within_s=_START_S)
            job = {"entry_point": "probe", "calls": ['[[0], {"dict": []}]']}
            sandbox.send(b"R", json.dumps({**job, "limits": dataclasses.asdict(Limits())}).encode())
            answers = b""
            while answers.count(b"\n") < 2:
                answers += sandbox.receive(b"A", within_s=_START_S)
    except SandboxLostError as lost:
        return str(lost)
    except OSError as error:
        return error.strerror or str(error)
    found = json.loads(answers.splitlines()[1]).get("value")
    return "" if found == [] else f"it does not confine: {found}"
