"""Sandboxes that work on this machine, and processes for code that limits its own CPU time.

A test that takes `isolation` runs in each of the sandboxes.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from codex_jax import InputError
from codex_jax.evaluate.sandbox import backends, python_sandbox


@pytest.fixture(scope="session", params=list(backends.BACKENDS))
def isolation(request) -> str:
    try:
        python_sandbox.choose_backend(request.param)
    except InputError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture(scope="session")
def run_script() -> Callable[[str], str]:
    """Runs a script in a process like the judge's, and returns what it prints.

    Limits of CPU time and memory that a process sets for itself mean little in one that runs tests.
    """

    def run(script: str) -> str:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        command = [sys.executable, "-c", script]
        process = subprocess.run(command, check=False, capture_output=True, text=True, env=bare)
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run
