"""Compiles sources to code in a process of its own; never runs any of it.

What compiling leaves in memory, no program inherits: the fork server sees neither source nor code.
"""

import marshal
import os
import resource
import struct
import types
from _blake2 import blake2b  # hashlib would load all of OpenSSL

from codex_jax.evaluate.sandbox.guest import confine, server_io  # handed over beside this text

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
_SIZE = struct.Struct("=Q")
_UID = 19_999  # no program's
_GROWN_KB = 1 << 16  # the most memory beyond that at the start
_AGAIN, _LAST = b".", b"!"


class Parser:
    """The fork server's end: lets the child read a source, and waits until it has replied."""

    def __init__(self, zygote):
        inlet, self.outlet = os.pipe()
        self.inlet, outlet = os.pipe()
        self.pid = confine.fork_apart()
        if self.pid == 0:
            try:
                os.close(self.outlet)
                os.close(self.inlet)
                _Child(zygote, outlet).serve(inlet)
            finally:
                os._exit(70)
        os.close(inlet)
        os.close(outlet)
        self.ends = self.inlet, self.outlet  # no program may hold them
        self.lives = True

    def parse(self, size):
        """Returns the names of the modules that the source may import.

        A parser that dies ends the fork server, too: the source may be half read.
        """
        os.write(self.outlet, _SIZE.pack(size))
        reply = os.read(self.inlet, 1 << 12)  # written at once
        if not reply:
            os._exit(0)
        self.lives = reply[:1] == _AGAIN
        return reply[1:].decode().split()

    def close(self):
        os.close(self.inlet)
        os.close(self.outlet)
        os.waitpid(self.pid, 0)


class _Child:
    def __init__(self, zygote, outlet):
        self.inbox, self.outbox, self.settings = zygote.inbox, zygote.outbox, zygote.settings
        self.outlet = outlet
        self.size_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def serve(self, inlet):
        confine.limit({**self.settings["limits"], "cpu_s": 1 << 30})
        confine.surrender(_UID if self.settings["own_uid"] else 0)
        while True:
            size = _SIZE.unpack(server_io.exactly(inlet, _SIZE.size))[0]
            names = self.reply(server_io.exactly(self.inbox, size))
            size_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            lives = size_kb < self.size_kb + _GROWN_KB
            os.write(self.outlet, (_AGAIN if lives else _LAST) + names)

    def reply(self, source):
        """Equal digests mean programs equal but for their layout."""
        try:
            code = compile(source, "<program>", "exec", dont_inherit=True)
            digest = blake2b(marshal.dumps(without_lines(code), 2), digest_size=_DIGEST).digest()
            marshalled = marshal.dumps(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            reason = f"{type(error).__name__}: {error}"[:300]
            server_io.frame(self.outbox, b"S", reason.encode("utf-8", "replace"))
            return b""
        server_io.frame(self.outbox, b"D", digest, marshalled)
        return " ".join(_names(code) & WARM).encode()


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
