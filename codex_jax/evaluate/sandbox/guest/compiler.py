"""Sources to code, in a process apart: what parsing leaves in memory no program inherits.

Programs found tame are also run here, one after the other. Each has a world and arguments of its
own, and what it leaves is collected before the next; whatever goes wrong, or takes longer than
a moment, is for the fork server to run by itself, and its outcome here is forgotten. What is proved
to run for ever has its outcome.
"""

import gc
import marshal
import mmap
import os
import resource
import struct
import time
import types
from _blake2 import blake2b  # hashlib would load all of OpenSSL
from _signal import ITIMER_PROF, SIGPROF, setitimer

from codex_jax.evaluate.sandbox.guest import (  # handed over, too
    confine,
    endless,
    program,
    server_io,
    tame,
)

# Imported by the fork server once a program names one of them, for the forks to find there.
_NAMES = (
    "abc array base64 bisect calendar cmath collections contextlib copy dataclasses "
    "datetime decimal enum fractions functools hashlib heapq inspect io itertools json math "
    "numbers operator random re statistics string struct textwrap time types typing "
    "unicodedata"
)
WARM = frozenset(_NAMES.split())
_DIGEST = 16  # bytes
_LINES = "co_linetable" if hasattr(types.CodeType, "co_linetable") else "co_lnotab"
_HEAD, _RAN = struct.Struct("=cQ"), struct.Struct(">dII")
_UID = 19_999  # no program's
_MOMENT_S = 0.25  # of CPU
_GROWN_KB = 1 << 16  # the most memory beyond that at the start
_ALONE = ("MemoryError", "RecursionError")  # they depend on what was left by others
_AGAIN, _LAST = b".", b"!"


class Parser:
    """The fork server's end: lets the child read a source, and waits until it has replied."""

    def __init__(self, zygote):
        inlet, self.outlet = os.pipe()
        self.inlet, outlet = os.pipe()
        self.told = None
        self.speaking = mmap.mmap(-1, 1)
        self.pid = confine.fork_apart()
        if self.pid == 0:
            try:
                os.close(self.outlet)
                os.close(self.inlet)
                _Child(zygote, self.speaking, outlet).serve(inlet)
            finally:
                os._exit(70)
        os.close(inlet)
        os.close(outlet)
        self.ends = self.inlet, self.outlet  # no program may hold them
        self.lives = True

    def parse(self, operation, size, given):
        """The names of modules that the source may import; None where a tame program has brought
        the parser down. Should anything else do so, the fork server goes down, too: its parts can
        no longer be told apart."""
        if operation == b"T" and self.told is not given:
            server_io.send(self.outlet, _HEAD.pack(b"K", len(given)), given)
            self.told = given
        os.write(self.outlet, _HEAD.pack(operation, size))
        said = os.read(self.inlet, 1 << 12)  # written at once
        self.lives = said[:1] == _AGAIN
        if not said and (operation != b"T" or self.speaking[0]):
            os._exit(0)
        return said[1:].decode().split() if said else None

    def close(self):
        os.close(self.inlet)
        os.close(self.outlet)
        self.speaking.close()
        os.waitpid(self.pid, 0)


class _Child:
    def __init__(self, zygote, speaking, outlet):
        self.inbox, self.outbox, self.settings = zygote.inbox, zygote.outbox, zygote.settings
        self.speaking, self.outlet, self.task, self.ran = speaking, outlet, None, set()
        self.watch = endless.Watch()
        self.size_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def serve(self, inlet):
        confine.limit({**self.settings["limits"], "cpu_s": 1 << 30})
        confine.surrender(_UID if self.settings["own_uid"] else 0)
        confine.end_at(SIGPROF)
        while True:
            operation, size = _HEAD.unpack(server_io.exactly(inlet, _HEAD.size))
            if operation == b"K":
                self.task, self.ran = program.Task(server_io.exactly(inlet, size)), set()
                continue
            source = server_io.exactly(self.inbox, size)
            names = self.reply(source, run=operation == b"T")
            size_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            lives = size_kb < self.size_kb + _GROWN_KB
            os.write(self.outlet, (_AGAIN if lives else _LAST) + names)

    def reply(self, source, *, run):
        """Equal digests mean programs equal but for their layout."""
        try:
            code = compile(source, "<program>", "exec", dont_inherit=True)
            digest = blake2b(marshal.dumps(without_lines(code), 2), digest_size=_DIGEST).digest()
            whole = marshal.dumps(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            said = f"{type(error).__name__}: {error}"[:300]
            self.say(b"S", said.encode("utf-8", "replace"))
            return b""
        if run and digest not in self.ran and tame.is_tame(code):
            self.ran.add(digest)
            if self.run(code, digest, whole):
                return b""
        self.say(b"D", digest, whole)
        return " ".join(_names(code) & WARM).encode()

    def run(self, code, digest, whole):
        """Has a tame program answer, and tells; False where it had better be alone."""
        start, lines, world = time.process_time(), [], tame.world()

        def tell(place):
            setitimer(ITIMER_PROF, 0)
            head = _RAN.pack(time.process_time() - start, place, len(whole))
            self.say(b"T", digest, head, whole, b"".join(lines))

        def proved(place):
            tell(place)
            os.write(self.outlet, _LAST)
            os._exit(0)

        setitimer(ITIMER_PROF, min(_MOMENT_S, self.task.limits["cpu_s"]))
        self.watch.start(world, proved)
        gc.enable()
        usable = _answers(code, world, self.task, lines)
        gc.disable()
        usable = self.watch.stop() and usable
        gc.collect()
        gc.freeze()  # what is left has no part in later collections
        setitimer(ITIMER_PROF, 0)
        if usable:
            tell(0)
        return usable

    def say(self, operation, *parts):
        self.speaking[0] = 1
        server_io.frame(self.outbox, operation, *parts)
        self.speaking[0] = 0


def _answers(code, world, task, lines):
    """Appends to `lines`; False where the program had better be alone."""
    left = task.limits["answer_mb"] << 20
    for answer in _outcomes(code, world, task):
        if answer.get("raised", answer.get("unready", " "))[0] in _ALONE:
            return False
        lines.append(program.line(answer))
        left -= len(lines[-1])
        if left < 0:
            return False
    return True


def _outcomes(code, world, task):
    try:
        function = program.loaded(code, world, task.entry_point)
    except BaseException as error:
        yield {"unready": program.described(error)}
        return
    yield {"ready": True}
    for call in task.calls:
        yield program.outcome(function, call if type(call) is str else call.again())


def without_lines(code):
    """The code as if it stood on no line: what layout and comments can't change."""
    kind = types.CodeType
    constants = tuple(without_lines(c) if type(c) is kind else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_firstlineno=1, **{_LINES: b""})


def _names(code):
    names, codes = set(), [code]
    while codes:
        one = codes.pop()
        names.update(one.co_names)
        codes += [constant for constant in one.co_consts if type(constant) is types.CodeType]
    return names
