"""Pythons that programs in a sandbox can run: root's sandboxes run them as an ordinary user."""

import contextlib
import os
import subprocess
import sys

import pytest

from codex_jax.evaluate.sandbox import backends


def python_for_all() -> str:
    """A Python of this version that everybody may run; skips where there is none."""
    nobody = {"user": backends.NOBODY, "group": backends.NOBODY, "extra_groups": []}
    ask = "import sys; print(*sys.version_info[:2])"
    for python in ("/usr/bin/python3", sys.executable):
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [python, "-c", ask], capture_output=True, text=True, check=False, **nobody
            )
            if done.stdout.split() == [str(number) for number in sys.version_info[:2]]:
                return python
    pytest.skip("no Python of this version here that an ordinary user may run")


def need_own_packages() -> None:
    """Skips where programs in a sandbox can't import what is installed for this Python."""
    if not os.geteuid():
        python_for_all()
