"""Processes of the toolchain server: a command under limits, and a compiler that stays.

A compiler that stays reads sources and never runs them. It lives as long as the sandbox, under
limits of its own, and is replaced when it stops answering.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import time

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import confine, server_io

HOME = "/tmp"
_OUTPUT_BYTES = 4096  # kept of each end of a program's output
_UNLIMITED_MB = 1 << 20
_EXEC_FAILED = 71  # exit status
_EXIT_S = 2.0  # for a process that has closed its channel to end by itself
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": HOME,
    "TMPDIR": HOME,
    "LANG": "C.UTF-8",
}


class ChildProcess:
    """A command under limits, with calls on its standard input and answers on one descriptor."""

    def __init__(self, server, job, *, merge_outputs=False):
        self.server, self.limits = server, job["limits"]
        self.remaining_bytes = self.limits["answer_mb"] << 20
        self.live, self.has_answered = job.get("calls", ()) is None, False
        self.output = _unlinked_file("output")
        self.command = job["argv"][0]
        self.reason, self.clock = "", server_io.Clock(server, self.limits["cpu_s"])
        failure, child_failure = os.pipe()  # closed by exec
        self.failure = failure
        self.channel, child_end = socket.socketpair()
        calls = self._open_calls(job.get("calls"), child_end)
        uid = server.next_uid()
        self.pid = confine.fork_in_namespaces()
        if self.pid == 0:
            try:
                outputs = self._outputs(job["fd"], child_end.fileno(), merge_outputs)
                _exec([calls, *outputs], job, uid, child_failure)
            except BaseException as error:  # noqa: BLE001 - this process is a fork
                os.write(child_failure, f"{job['argv'][0]}: {error}".encode()[:_OUTPUT_BYTES])
            finally:
                os._exit(_EXEC_FAILED)
        os.close(child_failure)
        if calls != child_end.fileno():
            os.close(calls)
        child_end.close()
        self.channel.settimeout(2 * self.limits["cpu_s"])

    def _open_calls(self, lines, child_end):
        """Puts calls known in advance into a file, so that no program blocks us by not reading."""
        if lines is None:
            return child_end.fileno()
        descriptor = _unlinked_file("calls")
        with open(descriptor, "wb", closefd=False) as file:
            file.write("".join(line + "\n" for line in lines).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def _outputs(self, answer_fd, child_end, merge_outputs):
        """Returns descriptors 1, 2 and 3: answers go to the channel, the rest to the output."""
        if merge_outputs:
            return [self.output, self.output, child_end]
        null = os.open("/dev/null", os.O_WRONLY)
        if answer_fd == 1:
            return [child_end, self.output, null]
        return [self.output, self.output, child_end]

    def wait(self, *, relay=False):
        """Waits for its end and returns how it ended; relays calls and answers if asked to."""
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        poll.register(self.server.inbox, select.POLLIN)  # the host may end it, or have calls
        while not self.reason:
            timeout_s = max(0.0, self.clock.due - time.monotonic())
            for descriptor, _ in poll.poll(1000 * timeout_s + 1):
                if descriptor == self.channel.fileno():
                    self._receive_answer(relay)
                else:
                    self._relay_call()
            if time.monotonic() >= self.clock.due and not self.reason:
                awaits = self.live and self.has_answered
                self.reason = self.clock.look(self.pid, is_awaiting_call=awaits)
        return self._end(relay)

    def _receive_answer(self, relay):
        try:
            data = self.channel.recv(1 << 16)
        except OSError:
            data = b""
        self.remaining_bytes -= len(data)
        if not data:
            self.reason = self.reason or "closed"
        elif self.remaining_bytes < 0:
            self.reason = "output"
        elif relay:
            self.has_answered = True
            self.server.send(protocol.ANSWERS, data)

    def _relay_call(self):
        message, body = self.server.receive()
        if message == protocol.END:
            self.reason = "ended"
        elif message == protocol.EXPIRE:
            self.reason = "cpu"
        elif message == protocol.CALL:
            with contextlib.suppress(OSError):  # it is exiting; its end is read next
                self.channel.sendall(body)

    def _end(self, relay):
        status, usage = self._reap(_EXIT_S if self.reason == "closed" else 0.0)
        while relay and self.remaining_bytes >= 0 and select.select([self.channel], [], [], 0)[0]:
            before = self.remaining_bytes
            self._receive_answer(relay)
            if self.remaining_bytes == before:
                break
        self.channel.close()
        output = _head_and_tail(self.output)
        os.close(self.output)
        if failure := os.read(self.failure, _OUTPUT_BYTES):
            output = failure.decode("utf-8", "replace")
            if not self.command.startswith(
                f"{HOME}/"
            ):  # a tool; what is there is the program's own
                self.reason = "exec"
        os.close(self.failure)
        return {
            "reason": self.reason,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "wall_s": time.monotonic() - self.clock.start,
            "output": output,
        }

    def _reap(self, within_s):
        """Waits for the process, and kills it when the time is over: (status, resource usage)."""
        deadline, pause = time.monotonic() + within_s, 0.0005
        while time.monotonic() < deadline:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                return status, usage
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        os.kill(self.pid, signal.SIGKILL)
        return os.wait4(self.pid, 0)[1:]


class CompilerServer:
    """A compiler that stays: a line of JSON in, a line of JSON out."""

    def __init__(self, server, argv, env, limits):
        self.channel, child_end = socket.socketpair()
        self.unread = b""
        null = os.open("/dev/null", os.O_WRONLY)
        uid = server.next_uid()
        self.pid, self.cpu_before = confine.fork_in_namespaces(), 0.0
        if self.pid == 0:
            try:
                job = {"argv": argv, "env": env, "limits": {**limits, "cpu_s": 1 << 30}}
                _exec([child_end.fileno(), child_end.fileno(), null, null], job, uid, 1023)
            finally:
                os._exit(_EXEC_FAILED)
        os.close(null)
        child_end.close()

    def ask(self, request, cpu_s):
        """Returns the compiler's answer; raises OSError or ValueError where there is none."""
        self.cpu_before = server_io.cpu_s(self.pid)
        deadline = time.monotonic() + 40 * cpu_s
        self.channel.settimeout(cpu_s)
        self.channel.sendall(json.dumps(request).encode() + b"\n")
        while b"\n" not in self.unread:
            try:
                data = self.channel.recv(1 << 16)
            except TimeoutError:
                spent_s = server_io.cpu_s(self.pid) - self.cpu_before
                if spent_s > cpu_s or time.monotonic() > deadline:
                    raise
                continue
            if not data:
                raise OSError("the compiler has exited")
            self.unread += data
        line, _, self.unread = self.unread.partition(b"\n")
        answer = json.loads(line)
        return {
            "ok": answer["ok"],
            "output": answer["output"][:_OUTPUT_BYTES],
            "cpu_s": max(0.0, server_io.cpu_s(self.pid) - self.cpu_before),
            "reason": "",
        }

    def kill(self):
        """Kills it; returns the CPU seconds since its last request."""
        self.channel.close()
        os.kill(self.pid, signal.SIGKILL)
        usage = os.wait4(self.pid, 0)[2]
        return max(0.0, usage.ru_utime + usage.ru_stime - self.cpu_before)


def _exec(descriptors, job, uid, failure):
    """Turns a fork into the command: four descriptors, limits, no privileges.

    The descriptor `failure` stays open until then; no program has it.
    """
    copies = [os.dup(descriptor) for descriptor in descriptors]
    for target, descriptor in enumerate([_dup_above(copy) for copy in copies]):
        os.dup2(descriptor, target, inheritable=True)
    os.closerange(4, failure)
    os.closerange(failure + 1, 1024)
    os.setpgid(0, 0)  # else a signal to its process group would reach compilers that stay
    limits = job["limits"]
    confine.set_rlimits({**limits, "memory_mb": limits.get("address_mb") or _UNLIMITED_MB})
    data = limits["memory_mb"] << 20
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    size = limits["file_mb"] << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    confine.drop_privileges(uid)
    os.umask(0o022)
    os.chdir(HOME)
    os.execve(_resolve(job["argv"][0]), job["argv"], {**_ENVIRONMENT, **job.get("env", {})})


def _resolve(command):
    """Returns its path; os.execvpe would touch more memory, which is slow in a sandbox."""
    if "/" in command:
        return command
    paths = [f"{folder}/{command}" for folder in _ENVIRONMENT["PATH"].split(":")]
    return next((path for path in paths if os.access(path, os.X_OK)), paths[0])


def _dup_above(descriptor):
    """Returns a copy of the descriptor above those that are about to be replaced."""
    while descriptor < 4:
        descriptor = os.dup(descriptor)
    return descriptor


def _unlinked_file(name):
    """Opens a file without a name, which only we and the child can use."""
    path = os.path.join(HOME, f".{name}")
    with contextlib.suppress(OSError):
        os.unlink(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    return descriptor


def _head_and_tail(descriptor):
    """Reads both ends of a file as text."""
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, _OUTPUT_BYTES, 0)
    if size > _OUTPUT_BYTES:
        text += b"\n...\n" * (size > 2 * _OUTPUT_BYTES)
        text += os.pread(descriptor, _OUTPUT_BYTES, max(_OUTPUT_BYTES, size - _OUTPUT_BYTES))
    return text.decode("utf-8", "replace")
