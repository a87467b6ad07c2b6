"""The fork server: one warm Python in each sandbox, a fresh child of it for every program.

Frames on its standard input and output are an operation (one byte), a length (four, big-endian)
and a body. In: K what the next programs will be asked for, and within which limits; P parse a
source; R run code that is asked for nothing else; L run code that is also asked live; C another
call for it; E end it. Out: H hello; D the digest and the code of a source; S why it doesn't parse;
A bytes a program answered; X how it ended, and what it answered last.

A program holds neither pipe: it has one of its own to this process alone, to say that there are
answers, and shared memory to lay them in; what lies there is passed on as its answers, whatever it
claims to be. Sources are read by a parser apart, code by the child it is for, and answers are never
copied into this process's own memory: programs, which inherit it, could search it for others'.

What is imported, and how much memory is written to before a fork, decides what a program costs:
every page that differs between the two is copied, and gVisor copies two megabytes at a time.
"""

import gc
import importlib
import json
import os
import select
import struct
import sys
import time

from codex_jax.evaluate.sandbox.guest import (  # handed over, too
    compiler,
    confine,
    program,
    server_io,
)

_LOW_UID, _UIDS = 20_000, 40_000
_GLANCE_S = 0.01  # to the first look at the answers of a program that hasn't called


class Zygote:
    """Holds the two protocol pipes, which no program inherits."""

    def __init__(self, settings, inbox, outbox):
        self.settings, self.inbox, self.outbox = settings, inbox, outbox
        self.told, self.task, self.parser = b"", None, None
        self.runs = 0
        self.clean = server_io.traces()

    def send(self, operation, *parts):
        server_io.frame(self.outbox, operation, *parts)

    def receive(self):
        """The next frame; the outside closing its end is the order to die, children and all."""
        operation, size = self.head()
        return operation, server_io.exactly(self.inbox, size)

    def head(self):
        head = server_io.exactly(self.inbox, 5)
        return head[:1], struct.unpack(">I", head[1:])[0]

    def serve(self):
        self.send(b"H", json.dumps({"python": sys.version.split()[0]}).encode())
        while True:
            operation, size = self.head()
            if operation in b"RL":
                self.run(size, live=operation == b"L")
                continue
            if operation == b"P":
                self.parse(size)
                continue
            body = server_io.exactly(self.inbox, size)
            if operation == b"K":
                self.foresee(body)

    def parse(self, size):
        """Has the source that follows parsed; what it may import is imported here."""
        self.parser = self.parser or compiler.Parser(self)
        names = self.parser.parse(size)
        if not self.parser.lives:
            self.parser.close()
            self.parser = None
        _warm_up(names)

    def foresee(self, told):
        self.told, self.task = told, None

    def run(self, size, *, live):
        """Runs the code that follows, so many bytes, in a child that reads it itself."""
        self.task = self.task or program.Task(self.told)
        ours, theirs = os.pipe()
        inlet = outlet = -1
        if live:
            outlet, inlet = os.pipe()
        answers = program.Answers(self.task.limits["answer_mb"] << 20)
        self.runs += 1
        uid = _LOW_UID + self.runs % _UIDS if self.settings["own_uid"] else 0
        gc.freeze()  # collections in the child leave our pages alone, and shared
        pid = confine.fork_apart()
        if pid == 0:
            _close(ours, inlet, self.outbox, *(self.parser.ends if self.parser else ()))
            program.Program(self.task, answers, theirs, outlet).live(self.inbox, size, uid)
        _close(theirs, outlet)
        relay = Relay(self, ours, inlet, answers, pid)
        end = relay.until_end()
        _close(ours, relay.inlet)
        end["dirty"] = server_io.traces() != self.clean and not self._tidied()
        self.send(b"X", json.dumps(end).encode(), b"\n", answers.news())
        answers.close()

    def _tidied(self):
        return server_io.tidied() and server_io.traces() == self.clean


def _close(*descriptors):
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _warm_up(names):
    """What one program imports, it and the next ones find here."""
    for name in names:
        if name in compiler.WARM and name not in sys.modules:
            importlib.import_module(name)


class Relay:
    """Passes frames between one running program and the outside, and ends it at its limits."""

    def __init__(self, zygote, outlet, inlet, answers, pid):
        self.zygote, self.outlet, self.inlet = zygote, outlet, inlet
        self.answers, self.pid, self.limits = answers, pid, zygote.task.limits
        self.start = time.monotonic()
        self.clocks_due = self.start + self.limits["cpu_s"]
        self.spoken = False  # the outside has something to say only once it has been told something
        self.glance_due, self.glance_s = self.start + _GLANCE_S, _GLANCE_S
        self.why = ""  # set where this process decided the end

    def until_end(self):
        poll = select.poll()
        poll.register(self.outlet, select.POLLIN)
        while not self.why:
            patience_s = min(self.clocks_due, self.glance_due) - time.monotonic()
            for descriptor, _ in poll.poll(1000 * max(0.0, patience_s) + 1):
                if descriptor == self.zygote.inbox:
                    self._from_outside()
                elif self._from_program():
                    self.why = self.why or "closed"
            self._check_clocks()
            if self.spoken:  # and its code has been read
                poll.register(self.zygote.inbox, select.POLLIN)
        os.kill(self.pid, 9)
        _, status, usage = os.wait4(self.pid, 0)
        return {
            "why": self.why,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "wall_s": time.monotonic() - self.start,
            "full": self.answers.full(),
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
        if len(news := self.answers.news()):
            self.zygote.send(b"A", news)
            self.spoken = True

    def _check_clocks(self):
        """CPU time decides. Wall time ends sleepers, and what outlives even a busy machine."""
        now, limit = time.monotonic(), self.limits["cpu_s"]
        if now >= self.glance_due:
            self._pass_on()
            self.glance_s *= 3
            self.glance_due = now + self.glance_s
        if now < self.clocks_due or self.why:
            return
        wall, cpu = now - self.start, server_io.cpu_s(self.pid)
        if cpu >= limit:
            self.why = "cpu"
        elif wall >= limit * (2 if cpu < 0.05 * wall else 10):
            self.why = "wall"
        left = limit - cpu  # pinned to one core, it can't be over earlier
        self.clocks_due = now + max(0.02, left)


def main():
    settings, inbox, outbox = server_io.entrance()
    zygote = Zygote(settings, inbox, outbox)
    gc.collect()
    gc.disable()  # a collection here would touch what is shared with children
    zygote.serve()


if __name__ == "__main__":
    main()
