"""Compilation of sources to code, without running any of it."""

import marshal
import types
from _blake2 import blake2b  # hashlib would load all of OpenSSL

from codex_jax.evaluate.sandbox import protocol

# The template imports these when a program names one of them: later programs find them there.
_PRELOADED = (
    "abc array base64 bisect calendar cmath collections contextlib copy dataclasses "
    "datetime decimal enum fractions functools hashlib heapq inspect io itertools json math "
    "numbers operator random re statistics string struct textwrap time types typing "
    "unicodedata"
)
PRELOADED = frozenset(_PRELOADED.split())
_LINES = "co_linetable" if hasattr(types.CodeType, "co_linetable") else "co_lnotab"
_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


class CompileError(Exception):
    """The source has no code; the message says why."""


def compile_source(source):
    """Returns (digest, marshalled code, names of modules to preload) of a source in bytes.

    The text is compiled as exec() of it would: it is text already, whatever its first lines say of
    an encoding. Programs that differ in layout only have equal digests.

    Raises:
      CompileError: it doesn't compile.
    """
    try:
        text = source.decode("utf-8", "surrogatepass")
        code = compile(text, "<program>", "exec", dont_inherit=True)
        bare = marshal.dumps(strip_line_numbers(code), 2)
        marshalled = marshal.dumps(code)
    except _ERRORS as error:
        raise CompileError(f"{type(error).__name__}: {error}"[:300]) from None
    digest = blake2b(bare, digest_size=protocol.DIGEST_BYTES).digest()
    return digest, marshalled, PRELOADED.intersection(_names(code))


def strip_line_numbers(code):
    """Returns the code without its positions in the source, which layout and comments change."""
    constants = tuple(
        strip_line_numbers(constant) if type(constant) is types.CodeType else constant
        for constant in code.co_consts
    )
    return code.replace(co_consts=constants, co_firstlineno=1, **{_LINES: b""})


def _names(code):
    names, codes = set(), [code]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [constant for constant in code.co_consts if type(constant) is types.CodeType]
    return names
