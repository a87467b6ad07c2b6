"""The fork server: one warm Python in each sandbox, a fresh child of it for every program.

Frames on its standard input and output are an operation (one byte), a length (four, big-endian)
and a body. In: P parse a source; K the calls that the next programs will be asked for; R run what
was parsed; C another call for the running program; E end it. Out: H hello; D the parsed program's
digest; S why it doesn't parse; A bytes the program answered; X how it ended, and what it answered
last. The program holds neither pipe: it has one of its own to this process alone, to say that there
are answers, and shared memory to lay them in; what lies there is passed on as its answers, whatever
it claims to be.

What is imported, and how much memory is written to before a fork, decides what a program costs:
every page that differs between the two is copied, and gVisor copies two megabytes at a time.
"""

import gc
import importlib
import json
import marshal
import os
import select
import struct
import sys
import time
import types
from _blake2 import blake2b  # hashlib would load all of OpenSSL

from codex_jax.evaluate.inside import confine, program  # both handed over beside this text

# Loaded once the first program asks for one of them, so that the next forks find it there.
_NAMES = (
    "abc array base64 bisect calendar cmath collections contextlib copy dataclasses "
    "datetime decimal enum fractions functools hashlib heapq inspect io itertools json math "
    "numbers operator random re statistics string struct textwrap time types typing "
    "unicodedata"
)
_WARM = frozenset(_NAMES.split())
_LOW_UID, _UIDS = 20_000, 40_000
_FOLDERS = ("/tmp", "/dev/shm")  # all that programs can write to
_GLANCE_S = 0.01  # to the first look at the answers of a program that hasn't called
_FEW = 1 << 18  # bytes of calls that are decoded before the fork
_LINES = "co_linetable" if hasattr(types.CodeType, "co_linetable") else "co_lnotab"


class Zygote:
    """Holds the two protocol pipes, which no program inherits."""

    def __init__(self, settings, inbox, outbox):
        self.settings, self.inbox, self.outbox = settings, inbox, outbox
        self.code = None
        self.calls, self.entry_point = [], ""
        self.runs = 0
        self.clean = _traces()

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
            elif operation == b"K":
                self.foresee(json.loads(body))
            elif operation == b"R":
                self.run(json.loads(body))

    def parse(self, source):
        """Compiles without running; equal digests mean equal programs but for layout."""
        self.code = None
        try:
            self.code = compile(source, "<program>", "exec", dont_inherit=True)
            told = blake2b(marshal.dumps(without_lines(self.code), 2), digest_size=32).digest()
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            self.send(b"S", f"{type(error).__name__}: {error}"[:300].encode("utf-8", "replace"))
        else:
            _warm_up(self.code)
            self.send(b"D", told)

    def foresee(self, given):
        """Decodes calls once for all programs of a problem; where they are many, each by itself."""
        self.entry_point, calls = given["entry_point"], given["calls"]
        few = sum(map(len, calls)) < _FEW
        self.calls = [program.Call(text) if few else text for text in calls]

    def run(self, job):
        ours, theirs = os.pipe()
        inlet = outlet = -1
        if job["live"]:
            outlet, inlet = os.pipe()
        answers = program.Answers(job["limits"]["answer_mb"] << 20)
        self.runs += 1
        uid = _LOW_UID + self.runs % _UIDS if self.settings["own_uid"] else 0
        pid = confine.fork_apart()
        if pid == 0:
            _close(ours, inlet, self.inbox, self.outbox)
            mine = program.Program(answers, theirs, outlet)
            mine.live(self.code, self.entry_point, self.calls, job["limits"], uid)
        _close(theirs, outlet)
        relay = Relay(self, ours, inlet, answers, pid, job["limits"])
        end = relay.until_end()
        _close(ours, relay.inlet)
        end["dirty"] = _traces() != self.clean and not (_tidied() and _traces() == self.clean)
        self.send(b"X", json.dumps(end).encode() + b"\n" + answers.news())
        answers.memory.close()


def _close(*descriptors):
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def without_lines(code):
    """The code as if it stood on no line: what layout and comments can't change."""
    kind = types.CodeType
    constants = tuple(without_lines(c) if type(c) is kind else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_firstlineno=1, **{_LINES: b""})


def _warm_up(code):
    names, codes = set(), [code]
    while codes:
        one = codes.pop()
        names.update(one.co_names)
        codes += [constant for constant in one.co_consts if type(constant) is types.CodeType]
    wanted = [name for name in names & _WARM if name not in sys.modules]
    for name in wanted:
        importlib.import_module(name)
    if wanted:
        gc.freeze()  # collections in the forks leave our pages alone, and shared


class Relay:
    """Passes frames between one running program and the outside, and ends it at its limits."""

    def __init__(self, zygote, outlet, inlet, answers, pid, limits):
        self.zygote, self.outlet, self.inlet = zygote, outlet, inlet
        self.answers, self.pid, self.limits = answers, pid, limits
        self.start = time.monotonic()
        self.clocks_due = self.start + limits["cpu_s"]
        self.glance_due, self.glance_s = self.start + _GLANCE_S, _GLANCE_S
        self.why = ""  # set where this process decided the end

    def until_end(self):
        poll = select.poll()
        poll.register(self.outlet, select.POLLIN)
        poll.register(self.zygote.inbox, select.POLLIN)
        while not self.why:
            patience_s = min(self.clocks_due, self.glance_due) - time.monotonic()
            for descriptor, _ in poll.poll(1000 * max(0.0, patience_s) + 1):
                if descriptor == self.zygote.inbox:
                    self._from_outside()
                elif self._from_program():
                    self.why = self.why or "closed"
            self._check_clocks()
        os.kill(self.pid, 9)
        _, status, usage = os.wait4(self.pid, 0)
        return {
            "why": self.why,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "faults": usage.ru_minflt,
            "wall_s": time.monotonic() - self.start,
        }

    def _from_outside(self):
        operation, body = self.zygote.receive()
        if operation == b"E":
            self.why = "ended"
        elif operation == b"C":
            self._pass_in(memoryview(body))

    def _pass_in(self, rest):
        """A program that is busy may read later, but one that never reads must not hold us up."""
        os.set_blocking(self.inlet, False)
        deadline = time.monotonic() + 2 * self.limits["cpu_s"]
        while rest and time.monotonic() < deadline:
            try:
                rest = rest[os.write(self.inlet, rest) :]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:  # it is dying; its end is about to be read
                return

    def _from_program(self):
        """Takes its word that there is something to read; True where it has closed its end."""
        said = os.read(self.outlet, 1 << 12)
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
        left = limit - cpu  # pinned to one core, it can't be over earlier
        self.clocks_due = now + max(0.02, left)

    def _cpu_s(self):
        try:
            return time.clock_gettime((~self.pid) << 3 | 2)  # CPUCLOCK_SCHED of another process
        except OSError:
            return 0.0


def _traces():
    """What changes when something is left in a folder: its mode and owner, the count of files."""
    found = []
    for folder in _FOLDERS:
        try:
            status, system = os.stat(folder), os.statvfs(folder)
        except OSError:
            continue
        found.append((status.st_mode, status.st_uid, system.f_files - system.f_ffree))
    return found


def _tidied():
    """Empties what programs may write to of plain files; False where anything else is left."""
    for folder in _FOLDERS:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        return False
                    os.unlink(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def main():
    settings = json.loads(sys.argv[1])
    os.environ.clear()
    inbox, outbox = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):  # these the programs inherit
        os.dup2(null, descriptor)
    os.chdir("/tmp")
    confine.settle(settings["limits"], own_uid=settings["own_uid"], seccomp=settings["seccomp"])
    zygote = Zygote(settings, inbox, outbox)
    gc.collect()
    gc.freeze()
    zygote.serve()


if __name__ == "__main__":
    main()
