"""One running sandbox, seen from outside: frames to its fork server and back."""

import contextlib
import functools
import importlib.machinery
import importlib.util
import json
import marshal
import os
import pathlib
import select
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from codex_jax import InputError
from codex_jax.evaluate.sandbox import backends

_START_S = 30.0
_PARSE_S = 60.0
_MODULES = (
    "value_codec",
    "confine",
    "server_io",
    "program",
    "compiler",
    "forkserver",
)  # the last one is run
_GUEST = pathlib.Path(__file__).with_name("guest")
_BOOT = """import sys, os, marshal, _frozen_importlib_external
def read(count):
    parts = b""
    while len(parts) < count:
        parts += os.read(0, count - len(parts)) or os._exit(0)
    return parts
def load(name, text, code, world):
    exec(marshal.loads(code) if same else compile(text, name, "exec"), world)
magic, modules = marshal.loads(read(int.from_bytes(read(4), "big")))
same = _frozen_importlib_external.MAGIC_NUMBER == magic
room = sys.modules["codex_jax.evaluate.sandbox.guest"] = type(sys)("guest")
for name, text, code in modules[:-1]:
    module = type(sys)("codex_jax.evaluate.sandbox.guest." + name)
    sys.modules[module.__name__] = module
    setattr(room, name, module)
    load(name, text, code, module.__dict__)
load(*modules[-1], globals())
"""


class SandboxLostError(Exception):
    """The sandbox is gone or silent: nothing it was doing has a verdict yet."""


class Limits(NamedTuple):
    """What one program may use. CPU seconds decide; asleep, it may take twice as many."""

    cpu_s: float = 3.0
    memory_mb: int = 1024
    processes: int = 32
    file_mb: int = 16
    open_files: int = 64
    answer_mb: int = 8


class Parsed(NamedTuple):
    """A source's digest and code, or `why` it has none."""

    digest: str
    why: str
    code: bytes


class Sandbox:
    """A fork server in `backend`, started at once; a context manager.

    What it needs on disk, if anything, lies in a new folder in `folder` or among temporary files.

    Raises:
      SandboxLostError: it doesn't come up in time; the message holds what it printed.
    """

    modules = _MODULES
    view = backends.View()

    def __init__(
        self,
        backend: backends.Backend,
        python: pathlib.Path,
        folder: pathlib.Path | None = None,
        limits: Limits = Limits(),
    ):
        self.backend, self.python = backend, python
        name = f"codex-jax-sandbox-{os.urandom(8).hex()}"
        self.scratch = (folder or pathlib.Path(tempfile.gettempdir())) / name
        settings = {"own_uid": backend.own_uid, "seccomp": backend.seccomp}
        settings["limits"] = limits._asdict()
        command = [str(python), "-I", "-S", "-c", _BOOT, json.dumps(settings)]
        self._unread = bytearray()
        self._told: dict = {}
        self.soiled = False  # a program left something behind: not to be used again
        scratch = self.scratch
        self._process = backend.start(command, python=python, scratch=scratch, view=self.view)
        try:
            modules = _modules(self.modules)
            self._write(struct.pack(">I", len(modules)) + modules)
            self.version = json.loads(self.receive(b"H", within_s=_START_S))["python"]
        except SandboxLostError as lost:
            said = self.stop()
            raise SandboxLostError(f"{lost}: {said}") from None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(self, operation: bytes, body: bytes = b"") -> None:
        self._write(operation + struct.pack(">I", len(body)) + body)

    def parse(self, source: str) -> Parsed:
        """Compiles a Python source inside the sandbox, without running it."""
        self.send(b"P", source.encode("utf-8", "surrogatepass"))
        operation, body = self.receive_any(within_s=_PARSE_S)
        if operation == b"S":
            return Parsed("", body.decode("utf-8", "replace"), b"")
        return Parsed(body[:16].hex(), "", body[16:])

    def foresee(self, task: dict) -> None:
        """Tells what the next programs will be asked for, unless it has been told already."""
        if task != self._told:
            self.send(b"K", json.dumps(task).encode())
            self._told = task

    def _write(self, data: bytes, *, now: bool = False) -> None:
        """To be read once an answer is waited for, or before."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(data)
            if now:
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
        self._write(b"", now=True)
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


@functools.cache
def _modules(names: Sequence[str]) -> bytes:
    """What runs inside: text, and code for where the Python there is of the same version."""
    found = []
    for name in names:
        loader = importlib.machinery.SourceFileLoader(name, str(_GUEST / f"{name}.py"))
        text = loader.get_source(name)
        found.append((name, text, marshal.dumps(loader.get_code(name))))
    return marshal.dumps((importlib.util.MAGIC_NUMBER, found), 2)


def choose(isolation: str) -> tuple[backends.Backend, pathlib.Path]:
    """A backend that passes its self-test and the Python it runs; "auto" tries gVisor first.

    Raises:
      InputError: none works; the line says why and what to install.
    """
    with opened(isolation) as sandbox:
        return sandbox.backend, sandbox.python


def opened(
    isolation: str, folder: pathlib.Path | None = None, limits: Limits = Limits()
) -> Sandbox:
    """The first sandbox that starts and passes its self-test, as of `choose`, ready for use."""
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
        for python in sorted(backends.interpreters(), key=backend.shut_out):
            try:
                return tested(backend, python, folder, limits)
            except (SandboxLostError, OSError) as error:
                reasons.append(f"{name} with {python}: {getattr(error, 'strerror', '') or error}")
    needs = " or ".join(backends.BACKENDS[name].needs for name in names)
    raise InputError(f"no sandbox works ({'; '.join(reasons)}); expected {needs}; install one")


def tested(
    backend: backends.Backend,
    python: pathlib.Path,
    folder: pathlib.Path | None = None,
    limits: Limits = Limits(),
) -> Sandbox:
    """A sandbox whose first program has found nothing to write to and nobody to talk to.

    Raises:
      SandboxLostError: it doesn't start, or doesn't confine.
    """
    sandbox = Sandbox(backend, python, folder, limits)
    try:
        if found := _probed(sandbox):
            raise SandboxLostError(f"it does not confine: {found}")
    except BaseException:
        sandbox.stop()
        raise
    return sandbox


_PROBE = """
import os, _socket
def probe(_):
    found = []
    for path in ("/usr/x", "/x", "/dev/x"):
        try:
            open(path, "w"); found.append("wrote " + path)
        except OSError:
            pass
    try:
        wire = _socket.socket(); wire.settimeout(1)
        wire.connect(("1.1.1.1", 53)); found.append("has a network")
    except OSError:
        pass
    if os.environ: found.append("has an environment")
    return found
"""


def _probed(sandbox: Sandbox) -> list[str]:
    task = {"entry_point": "probe", "calls": ['[[0], {"dict": []}]']}
    sandbox.foresee(task | {"limits": Limits()._asdict()})
    sandbox.send(b"R", sandbox.parse(_PROBE).code)
    answers, operation = b"", b""
    while operation != b"X":
        operation, body = sandbox.receive_any(within_s=_START_S)
        answers += body.partition(b"\n")[2] if operation == b"X" else body
    try:
        return json.loads(answers.splitlines()[1])["value"]
    except (IndexError, KeyError, ValueError):
        return [f"answers {answers[:200]!r}"]
