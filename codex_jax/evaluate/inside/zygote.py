"""The fork server: one warm Python in each sandbox, a fresh child of it for every program.

Frames on its standard input and output are an operation (one byte), a length (four, big-endian)
and a body. In: P parse a source; R run what was parsed; C another call for the running program;
E end it. Out: H hello; D the parsed program's digest; S why it doesn't parse; A bytes the program
answered; X how it ended. The program holds neither pipe: it has a socket to this process alone, to
say that there are answers, and shared memory to lay them in; what lies there is passed on as its
answers, whatever it claims to be.
"""

import ast
import contextlib
import gc
import hashlib
import importlib
import json
import mmap
import os
import pathlib
import select
import signal
import socket
import struct
import sys
import time
import types

from codex_jax.evaluate.inside import confine, values  # both handed over beside this text

# What programs often import: warm here, so that their forks find it loaded.
_WARM = (
    "bisect collections copy datetime decimal fractions functools heapq itertools math operator "
    "random re statistics string typing"
)
_LENGTH = struct.Struct("=Q")
_LOW_UID, _UIDS = 20_000, 40_000
_FOLDERS = ("/tmp", "/dev/shm")  # all that programs can write to
_FULL = 75  # exit status of a program whose answers don't fit
_GLANCE_S = 0.01  # to the first look at the answers of a program that hasn't called


class Zygote:
    """Holds the two protocol pipes, which no program inherits."""

    def __init__(self, settings, inbox, outbox):
        self.settings, self.inbox, self.outbox = settings, inbox, outbox
        self.code = None
        self.runs = 0

    def send(self, operation, body=b""):
        rest = memoryview(operation + struct.pack(">I", len(body)) + body)
        while rest:
            rest = rest[os.write(self.outbox, rest) :]

    def receive(self):
        """The next frame; the outside closing its end is the order to die, children and all."""
        head = self._exactly(5)
        return head[:1], self._exactly(struct.unpack(">I", head[1:])[0])

    def _exactly(self, count):
        parts = []
        while count:
            part = os.read(self.inbox, min(count, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def serve(self):
        self.send(b"H", json.dumps({"python": sys.version.split()[0]}).encode())
        while True:
            operation, body = self.receive()
            if operation == b"P":
                self.parse(body)
            elif operation == b"R":
                self.run(json.loads(body))

    def parse(self, source):
        """Compiles without running; equal digests mean equal programs but for layout."""
        self.code = None
        try:
            tree = ast.parse(source)
            self.code = compile(tree, "<program>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            self.send(b"S", f"{type(error).__name__}: {error}"[:300].encode("utf-8", "replace"))
        else:
            self.send(b"D", hashlib.sha256(ast.dump(tree).encode("utf-8", "replace")).digest())

    def run(self, job):
        ours, theirs = socket.socketpair()
        answers = Answers(job["limits"]["answer_mb"] << 20)
        self.runs += 1
        uid = _LOW_UID + self.runs % _UIDS if self.settings["own_uid"] else 0
        pid = confine.fork_apart()
        if pid == 0:
            _Child(self, ours, theirs, answers).live(self.code, job, uid)
        theirs.close()
        end = Relay(self, ours, answers, pid, job["limits"]).until_end()
        ours.close()
        answers.memory.close()
        end["dirty"] = not _tidied()
        self.send(b"X", json.dumps(end).encode())


class Answers:
    """Memory a program and the fork server share: the one appends lines, the other reads them.

    Cheaper than a system call and two wake-ups for every answer; and what was answered before an
    endless loop isn't lost with it. The length at its head is only the program's word.
    """

    def __init__(self, size):
        self.memory = mmap.mmap(-1, size)
        self.written = self.read = _LENGTH.size

    def append(self, line):
        """False where it doesn't fit."""
        end = self.written + len(line)
        if end > len(self.memory):
            return False
        self.memory[self.written : end] = line
        self.memory[: _LENGTH.size] = _LENGTH.pack(end)
        self.written = end
        return True

    def news(self):
        end = min(_LENGTH.unpack_from(self.memory)[0], len(self.memory))
        start, self.read = self.read, max(end, self.read)
        return self.memory[start : self.read]


class Relay:
    """Passes frames between one running program and the outside, and ends it at its limits."""

    def __init__(self, zygote, channel, answers, pid, limits):
        self.zygote, self.channel, self.pid, self.limits = zygote, channel, pid, limits
        self.answers = answers
        channel.settimeout(2 * limits["cpu_s"])  # a program that doesn't read must not hold us up
        self.start = time.monotonic()
        self.clocks_due = self.start + limits["cpu_s"]
        self.glance_due, self.glance_s = self.start + _GLANCE_S, _GLANCE_S
        self.why = ""  # set where this process decided the end

    def until_end(self):
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        poll.register(self.zygote.inbox, select.POLLIN)
        while not self.why:
            patience_s = min(self.clocks_due, self.glance_due) - time.monotonic()
            for descriptor, _ in poll.poll(1000 * max(0.0, patience_s) + 1):
                if descriptor == self.zygote.inbox:
                    self._from_outside()
                elif self._from_program():
                    self.why = self.why or "closed"
            self._check_clocks()
        os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        self._pass_on()
        return {
            "why": self.why,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "wall_s": time.monotonic() - self.start,
        }

    def _from_outside(self):
        operation, body = self.zygote.receive()
        if operation == b"E":
            self.why = "ended"
        elif operation == b"C":
            with contextlib.suppress(OSError):  # it is dying; its end is about to be read
                self.channel.sendall(body)

    def _from_program(self):
        """Takes its word that there is something to read; True where it has closed its end."""
        try:
            said = self.channel.recv(1 << 12)
        except ConnectionError:
            return True
        if said:
            self._pass_on()
        return not said

    def _pass_on(self):
        if news := self.answers.news():
            self.zygote.send(b"A", news)

    def _check_clocks(self):
        """CPU time decides. Wall time ends sleepers, and what outlives even a busy machine."""
        now, limit = time.monotonic(), self.limits["cpu_s"]
        if now >= self.glance_due:
            self._pass_on()
            self.glance_s *= 3
            self.glance_due = now + self.glance_s
        if now < self.clocks_due or self.why:
            return
        wall, cpu = now - self.start, self._cpu_s()
        if cpu >= limit:
            self.why = "cpu"
        elif wall >= limit * (2 if cpu < 0.05 * wall else 10):
            self.why = "wall"
        self.clocks_due = now + max(
            0.02, limit - cpu
        )  # pinned to one core, it can't be over earlier

    def _cpu_s(self):
        try:
            return time.clock_gettime((~self.pid) << 3 | 2)  # CPUCLOCK_SCHED of another process
        except OSError:
            return 0.0


class _Child:
    """One program's process, from the fork to its end."""

    def __init__(self, zygote, ours, theirs, answers):
        self.settings, self.channel, self.answers = zygote.settings, theirs, answers
        ours.close()
        os.close(zygote.inbox)
        os.close(zygote.outbox)

    def live(self, code, job, uid):
        status = 70
        try:
            os.chdir("/tmp")
            confine.limit(job["limits"])
            confine.surrender(uid=uid, seccomp=self.settings["seccomp"])
            status = self.answer_calls(code, job["entry_point"], job["calls"])
        finally:
            os._exit(status)

    def answer_calls(self, code, entry_point, calls):
        module = types.ModuleType("program")
        sys.modules["program"] = module
        try:
            exec(code, module.__dict__)
            if entry_point not in module.__dict__:
                raise NameError(f"name {entry_point!r} is not defined")
        except BaseException as error:
            self.answer({"unready": described(error)})
            return 0
        self.answer({"ready": True})
        function = module.__dict__[entry_point]
        for call in calls:
            self.answer(outcome(function, call))
        self.channel.sendall(b".")
        for call in self.channel.makefile("rb"):
            self.answer(outcome(function, call))
            self.channel.sendall(b".")
        return 0

    def answer(self, fields):
        if not self.answers.append(json.dumps(fields).encode() + b"\n"):
            os._exit(_FULL)


def outcome(function, call):
    """What one call gives: a value, with the arguments where it changed them, or an exception."""
    try:
        arguments, named = values.decode(json.loads(call))
        before = _mutable_state(arguments)
        answer = {"value": values.encode(function(*arguments, **named))}
        after = _mutable_state(arguments)
        if after != before:
            answer["arguments"] = after
    except BaseException as error:
        return {"raised": described(error)}
    return answer


def _mutable_state(arguments):
    if any(type(argument) in (list, dict, set, bytearray) for argument in arguments):
        return values.encode(list(arguments))
    return None


def described(error):
    """The nearest builtin class's name, the class's own, the message, and an errno if any."""
    kinds = [kind for kind in type(error).__mro__ if kind.__module__ == "builtins"]
    try:
        message = str(error)[:300]
    except BaseException:
        message = "(its message can't be read)"
    number = getattr(error, "errno", None)
    names = [kinds[0].__name__, type(error).__name__[:100], message]
    return [*names, number if type(number) is int else None]


def _tidied():
    """Empties what programs may write to of plain files; False where anything else is left."""
    for folder in _FOLDERS:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        return False
                    pathlib.Path(entry.path).unlink()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def main():
    os.environ.clear()
    for name in _WARM.split():
        importlib.import_module(name)
    confine.hide_from_debuggers()
    gc.freeze()  # collections in the forks leave our pages alone, and shared
    inbox, outbox = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):  # these the programs inherit
        os.dup2(null, descriptor)
    Zygote(json.loads(sys.argv[1]), inbox, outbox).serve()


if __name__ == "__main__":
    main()
