"""Sources to code, in a process apart: what parsing leaves in memory no program inherits."""

import marshal
import os
import struct
import types
from _blake2 import blake2b  # hashlib would load all of OpenSSL

from codex_jax.evaluate.inside import confine, house  # both handed over beside this text

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


class Parser:
    """The fork server's end: lets the child read a source, and waits until it has replied."""

    def __init__(self, zygote):
        inlet, self.outlet = os.pipe()
        self.inlet, outlet = os.pipe()
        if confine.fork_apart() == 0:
            try:
                os.close(self.outlet)
                os.close(self.inlet)
                _serve(inlet, outlet, zygote)
            finally:
                os._exit(70)
        os.close(inlet)
        os.close(outlet)
        self.ends = self.inlet, self.outlet  # no program may hold them

    def parse(self, size):
        """The names of modules that the source may import. What brings the parser down brings
        the fork server down, too: its parts can no longer be told apart."""
        os.write(self.outlet, struct.pack("=Q", size))
        length = int.from_bytes(house.exactly(self.inlet, 2), "big")
        return house.exactly(self.inlet, length).decode().split()


def _serve(inlet, outlet, zygote):
    confine.limit({**zygote.settings["limits"], "cpu_s": 1 << 30})
    confine.surrender(0)
    while True:
        (size,) = struct.unpack("=Q", house.exactly(inlet, 8))
        names = _reply(zygote, house.exactly(zygote.inbox, size))
        os.write(outlet, len(names).to_bytes(2, "big") + names)


def _reply(zygote, source):
    """Equal digests mean programs equal but for their layout."""
    try:
        code = compile(source, "<program>", "exec", dont_inherit=True)
        digest = blake2b(marshal.dumps(without_lines(code), 2), digest_size=_DIGEST).digest()
        whole = marshal.dumps(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        said = f"{type(error).__name__}: {error}"[:300]
        zygote.send(b"S", said.encode("utf-8", "replace"))
        return b""
    zygote.send(b"D", digest, whole)
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
