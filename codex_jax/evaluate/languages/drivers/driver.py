"""Driver of Python: runs a program with its own tests."""

import os
import pathlib
import sys


def run(_mode, _entry, file):
    """Runs the file; returns the token if its tests ran to their end."""
    token = sys.stdin.readline()
    sys.path.append("/packages")  # which setting packages fills
    write, leave = os.write, os._exit
    code = compile(pathlib.Path(file).read_text(encoding="utf-8"), "program.py", "exec")
    exec(code, {"__name__": "__main__"})
    sys.stdout.flush()
    if not getattr(sys, "codex_jax_end", False):
        leave(0)
    write(3, token.encode())
    leave(0)


run(*sys.argv[1:])
