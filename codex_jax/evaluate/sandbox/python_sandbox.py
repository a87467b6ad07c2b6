"""The sandbox for programs in Python, the choice of its backend, and the test that it confines."""

import json
import pathlib
from collections.abc import Collection
from typing import Any

from codex_jax import InputError
from codex_jax.evaluate.sandbox import backends, protocol
from codex_jax.evaluate.sandbox.sandbox import Limits, Sandbox, SandboxInfo, SandboxLostError

_COMPILE_S = 60.0
_PROBE_S = 30.0


class ProgramRefusedError(Exception):
    """The program was not run: it doesn't compile, or an equal one has the digest."""

    def __init__(self, reason: str, digest: str = ""):
        super().__init__(reason)
        self.digest = digest


class PythonSandbox(Sandbox):
    """A fork server for Python; a ProgramChannel whose program is the source set last."""

    server = "forkserver"

    def __init__(
        self, info: SandboxInfo, folder: pathlib.Path | None = None, limits: Limits = Limits()
    ):
        super().__init__(info, folder, limits)
        self.digest = ""
        self._task: dict[str, Any] = {}
        self._source, self._digests = b"", b""

    def set_source(self, source: str, judged: Collection[str] = ()) -> None:
        """Sets the program to run, unless its digest is among those of programs judged before."""
        self._source = source.encode("utf-8", "surrogatepass")
        self._digests = bytes.fromhex("".join(judged))

    def set_calls(self, task: dict[str, Any]) -> None:
        """Sets entry point, calls and limits of the next programs, unless they are set."""
        if task != self._task:
            head = {name: value for name, value in task.items() if name != "calls"}
            lines = "\n".join([json.dumps(head), *task["calls"]])
            self.send(protocol.SET_CALLS, lines.encode())
            self._task = task

    def start_program(self, *, live: bool) -> None:
        """Compiles the program inside the sandbox and runs it; if `live`, calls may follow."""
        head = protocol.RUN_HEAD.pack(live, len(self._digests) // protocol.DIGEST_BYTES)
        self.send(protocol.RUN, head + self._digests + self._source)

    def receive_any(self, *, within_s: float) -> tuple[bytes, bytes]:
        """Returns the next frame, as in Sandbox.

        Raises:
          ProgramRefusedError: the program isn't run.
        """
        message, body = super().receive_any(within_s=max(within_s, _COMPILE_S))
        if message in (protocol.EQUAL, protocol.SYNTAX_ERROR):
            (is_worn,) = protocol.IS_WORN.unpack_from(body)
            self.tainted = self.tainted or is_worn
            body = body[protocol.IS_WORN.size :]
            if message == protocol.EQUAL:
                raise ProgramRefusedError("an equal program was judged", body.hex())
            raise ProgramRefusedError(body.decode("utf-8", "replace"))
        return message, body

    def run(
        self, source: str, task: dict[str, Any], *, within_s: float
    ) -> tuple[list[bytes], dict[str, Any]]:
        """Returns the lines that a program answers to the calls of a task, and how it ended.

        Raises:
          ProgramRefusedError: it doesn't compile.
        """
        self.set_source(source)
        self.set_calls(task)
        self.start_program(live=False)
        answers, body = self.receive_answers(within_s=within_s)
        end, _, last = body.partition(b"\n")
        return (answers + last).split(b"\n")[:-1], json.loads(end)

    def send_call(self, call: str) -> None:
        """Sends the program another call."""
        self.send(protocol.CALL, call.encode() + b"\n")

    def end_program(self) -> None:
        """Ends the program, if it hasn't ended."""
        self.send(protocol.END)


def choose_backend(name: str) -> SandboxInfo:
    """Returns a backend that passes its self-test; "auto" tries gVisor first.

    Raises:
      InputError: none works; the line says why and what to install.
    """
    with open_first_working(name) as sandbox:
        return sandbox.info


def check_name(name: str) -> None:
    """Raises InputError unless the name is auto or a sandbox's."""
    if name != "auto" and name not in backends.BACKENDS:
        expected = ", ".join(["auto", *backends.BACKENDS])
        raise InputError(
            f"sandbox {name!r}; expected one of {expected}; set sandbox to one of them"
        )


def open_first_working(
    name: str, folder: pathlib.Path | None = None, limits: Limits = Limits()
) -> PythonSandbox:
    """Starts the first sandbox that passes its self-test, as in `choose_backend`."""
    check_name(name)
    names = list(backends.BACKENDS) if name == "auto" else [name]
    reasons = []
    for backend in map(backends.BACKENDS.__getitem__, names):
        if not backend.is_installed():
            reasons.append(f"{backend.name} is not installed")
            continue
        for python in sorted(backends.interpreters(), key=backend.is_unreadable):
            try:
                return open_verified(SandboxInfo(backend, python), folder, limits)
            except (SandboxLostError, OSError) as error:
                reason = getattr(error, "strerror", "") or error
                reasons.append(f"{backend.name} with {python}: {reason}")
    needs = " or ".join(backends.BACKENDS[name].needs for name in names)
    raise InputError(f"no sandbox works ({'; '.join(reasons)}); expected {needs}; install one")


def open_verified(
    info: SandboxInfo, folder: pathlib.Path | None = None, limits: Limits = Limits()
) -> PythonSandbox:
    """Starts a sandbox and runs a probe in it, which must find nothing to write to and no network.

    Raises:
      SandboxLostError: it doesn't start, or doesn't confine.
    """
    sandbox = PythonSandbox(info, folder, limits).start()
    try:
        if failures := _probe_failures(sandbox):
            raise SandboxLostError(f"it does not work: {', '.join(failures)}")
    except BaseException:
        sandbox.stop()
        raise
    return sandbox


_PROBE = """
import os, _socket
def probe(packages):
    failures = []
    for name in packages:
        try:
            __import__(name)
        except Exception as error:
            failures.append("can't import " + name + ": " + str(error)[:200])
    for path in ("/usr/x", "/x", "/dev/x"):
        try:
            open(path, "w"); failures.append("wrote " + path)
        except OSError:
            pass
    try:
        connection = _socket.socket(); connection.settimeout(1)
        connection.connect(("1.1.1.1", 53)); failures.append("has a network")
    except OSError:
        pass
    if os.environ: failures.append("has an environment")
    return failures
"""


def _probe_failures(sandbox: PythonSandbox) -> list[str]:
    names = [description.split()[0] for description in sandbox.limits.packages]
    calls = [f'[[{json.dumps(names)}], {{"dict": []}}]']
    task = {"entry_point": "probe", "calls": calls, "limits": Limits()._asdict()}
    lines, _ = sandbox.run(_PROBE, task, within_s=_PROBE_S)
    try:
        return json.loads(lines[2])["value"]
    except (IndexError, KeyError, ValueError):
        return [f"answers {lines!r}"[:200]]
