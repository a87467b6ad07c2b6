"""The host's handle of a running sandbox: its process, and frames to its server and back."""

import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from typing import IO, Any, NamedTuple, Self

from codex_jax import InputError
from codex_jax.evaluate.sandbox import backends, guest_modules, processes, protocol
from codex_jax.evaluate.sandbox.guest import process_states

_START_S = 30.0
MOST_S = 86_400  # CPU seconds of a program; clocks can't hold any number
LEAST_MB, MOST_MB = 64, 1 << 20
_READ_BYTES = 1 << 16  # what a pipe holds, and malloc needs no mmap for
_MAX_ASLEEP = 4  # times its CPU seconds that a program may sleep in all
_MEASURED_S = 0.1  # of CPU time, by a clock that ticks every hundredth


class SandboxLostError(Exception):
    """The sandbox is gone or silent: what it was doing has no verdict yet."""


class Limits(NamedTuple):
    """Limits of one program, and what it may import. CPU seconds decide; asleep, it has twice."""

    cpu_s: float = 3.0
    memory_mb: int = 1024
    processes: int = 32
    file_mb: int = 16
    open_files: int = 64
    answer_mb: int = 8
    packages: tuple[str, ...] = ()  # as packages.describe returns them


def check_limits(timeout_s: float, memory_mb: int) -> None:
    """Checks the limits of a program that a person sets.

    Raises:
      InputError: they are out of range.
    """
    if not (0 < timeout_s <= MOST_S and LEAST_MB <= memory_mb <= MOST_MB):
        raise InputError(
            f"timeout_s={timeout_s}, memory_mb={memory_mb}; expected more than 0 s, at most "
            f"{MOST_S:,} s, and {LEAST_MB} to {MOST_MB:,} MiB; set them so"
        )


class SandboxInfo(NamedTuple):
    """The backend of a sandbox and the path of the Python that runs inside."""

    backend: backends.Backend
    python: pathlib.Path


class Sandbox:
    """A server in a sandbox; `start` starts it, and as a context manager it is stopped.

    Args:
      info: its backend and Python.
      folder: where its scratch folder is created, if it needs one; default: temporary files.
      limits: limits of the server's programs.
    """

    server: str  # the guest's module that runs inside
    mounts = backends.Mounts()

    def __init__(
        self, info: SandboxInfo, folder: pathlib.Path | None = None, limits: Limits = Limits()
    ):
        self.info, self.limits = info, limits
        name = f"codex-jax-sandbox-{os.urandom(8).hex()}"
        self.scratch = (folder or pathlib.Path(tempfile.gettempdir())) / name
        self.tainted = False  # a program left something behind: not to be used again
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = bytearray()
        self._clock: tuple[float, float] | None = None  # CPU seconds, the guest's and the host's
        self._real_share = 1.0  # of the guest's CPU seconds
        self._asleep_s = 0.0  # of the program, while the host waited for it

    def start(self) -> Self:
        """Starts the sandbox and waits until its server answers.

        Raises:
          SandboxLostError: it doesn't start in time; the message has what it printed.
        """
        backend, python = self.info
        settings = {"own_uid": backend.own_uid, "seccomp": backend.seccomp}
        settings["host_clock"] = backend.host_clock
        text = json.dumps(settings | {"limits": self.limits._asdict()})
        mounts = self.mounts._replace(packages=self.limits.packages)
        command = [str(python), "-I", "-S", "-c", guest_modules.LOADER, text]
        self._process = backend.start(command, python=python, scratch=self.scratch, mounts=mounts)
        try:
            self._write(guest_modules.pack_modules(self.server))
            self.receive(protocol.HELLO, within_s=_START_S)
        except SandboxLostError as lost:
            printed = self.stop()
            raise SandboxLostError(f"{lost}: {printed}") from None
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(self, message: bytes, body: bytes = b"") -> None:
        """Sends a message; it may be read only once `receive` waits for an answer."""
        self._write(protocol.frame_head(message, body) + body)

    def receive(self, expected: bytes, *, within_s: float) -> bytes:
        """Returns the body of the next frame, whose message must be `expected`.

        Raises:
          SandboxLostError: it is another one, or none comes in time.
        """
        message, body = self.receive_any(within_s=within_s)
        if message != expected:
            raise SandboxLostError(f"it sent {message!r}; expected {expected!r}")
        return body

    def receive_any(self, *, within_s: float) -> tuple[bytes, bytes]:
        """Returns the next frame, (message, body), but for signs of life, which are waited for."""
        since = time.monotonic()
        while True:
            message, body = self._receive_frame(within_s)
            if message == protocol.CLOCK:
                report = json.loads(body)
                since = self._count_sleep(report, since)
                if self.info.backend.host_clock:
                    self._compare_clocks(report["cpu_s"], report["limit_s"])
                continue
            if message == protocol.ENDED and self._clock is not None:
                head, newline, rest = body.partition(b"\n")
                end = json.loads(head)
                end["cpu_s"] *= self._real_share
                body = json.dumps(end).encode() + newline + rest
            if message != protocol.ANSWERS:
                self._clock, self._asleep_s = None, 0.0
            return message, body

    def receive_answers(self, *, within_s: float) -> tuple[bytes, bytes]:
        """Returns what a program still answers, and the frame's body that says how it ended."""
        answers = b""
        while True:
            message, body = self.receive_any(within_s=within_s)
            if message == protocol.ENDED:
                return answers, body
            answers += body

    def _count_sleep(self, report: Mapping[str, Any], since: float) -> float:
        """Ends the program if it has slept too long in all, while the host waited for it.

        A program that waits for a core, or is stopped, isn't asleep.

        Args:
          report: of the guest's clock.
          since: when the host began to wait, or looked last.

        Returns:
          The time of this look.
        """
        is_asleep, now = report["asleep"], time.monotonic()
        if is_asleep is None and self._process is not None:  # there is no /proc inside
            depth = self.info.backend.server_depth + 1
            is_asleep = process_states.is_asleep(self._process.pid, depth=depth)
        if is_asleep:
            self._asleep_s += now - since
            if self._asleep_s >= _MAX_ASLEEP * report["limit_s"]:
                self._expire()
        return now

    def _expire(self) -> None:
        self.send(protocol.EXPIRE)
        self._flush()

    def _compare_clocks(self, cpu_s: float, limit_s: float) -> None:
        """Ends the program if it has used its CPU seconds by the host's clock, too.

        That clock is read twice, to learn the share of the guest's seconds that are real.
        """
        if cpu_s < limit_s or self._process is None:
            return
        real_s = processes.tree_cpu_s(self._process.pid)
        if self._clock is None:
            self._clock, self._real_share = (cpu_s, real_s), limit_s / cpu_s
            return
        guest_s, host_s = cpu_s - self._clock[0], real_s - self._clock[1]
        self._real_share = min(1.0, host_s / guest_s) if guest_s else self._real_share
        if host_s >= _MEASURED_S and cpu_s * self._real_share >= limit_s:
            self._expire()

    def _receive_frame(self, within_s: float) -> tuple[bytes, bytes]:
        self._flush()
        deadline = time.monotonic() + within_s
        head = protocol.FRAME_HEAD
        while len(self._unread) < head.size:
            self._read_more(deadline)
        message, size = head.unpack_from(self._unread)
        while len(self._unread) < head.size + size:
            self._read_more(deadline)
        body = bytes(self._unread[head.size : head.size + size])
        del self._unread[: head.size + size]
        return message, body

    def _write(self, data: bytes) -> None:
        with _lost_if_closed():
            _pipe(self._process, "stdin").write(data)

    def _flush(self) -> None:
        with _lost_if_closed():
            _pipe(self._process, "stdin").flush()

    def _read_more(self, deadline: float) -> None:
        descriptor = _pipe(self._process, "stdout").fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SandboxLostError("it is silent")
        data = os.read(descriptor, _READ_BYTES)
        if not data:
            raise SandboxLostError("it is gone")
        self._unread += data

    def stop(self) -> str:
        """Ends the sandbox and all in it; returns the last line that it printed to stderr."""
        process, self._process = self._process, None
        if process is None:
            return "it was not started"
        for name in ("stdin", "stdout"):
            with contextlib.suppress(OSError):
                _pipe(process, name).close()  # the server exits at the end of its input
        try:
            process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            process.kill()
        self.info.backend.cleanup(self.scratch)
        stderr = _pipe(process, "stderr")
        os.set_blocking(stderr.fileno(), False)
        lines = (stderr.read() or b"").decode("utf-8", "replace").strip().splitlines()
        stderr.close()
        process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)
        return lines[-1][:300] if lines else "it printed nothing"


@contextlib.contextmanager
def _lost_if_closed() -> Any:
    try:
        yield
    except OSError:
        raise SandboxLostError("its input is closed") from None


def _pipe(process: subprocess.Popen[bytes] | None, name: str) -> IO[bytes]:
    """Returns one of the process's pipes.

    Raises:
      SandboxLostError: there is no process.
    """
    if process is None:
        raise SandboxLostError("it was not started")
    return getattr(process, name)
