"""A small command, loaded once: gin keeps what was registered."""

import importlib.util
import pathlib
import sys

import pytest

from codex_jax.main import run, schema
from codex_jax.main.commands import COMMANDS, Command, Dependency


def _load():
    spec = importlib.util.spec_from_file_location("toy", pathlib.Path(__file__).parent / "toy.py")
    module = sys.modules["toy"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOY = _load()


@pytest.fixture
def toy():
    TOY.CALLS.clear()
    return TOY


@pytest.fixture
def command(monkeypatch):
    reader = Dependency("toy:Reader", provides={"Shape.vocab_size": "vocab_size"})
    work = Command("work", "toy:work", "toil", {"rows": reader})
    monkeypatch.setitem(COMMANDS, "work", work)
    return work


# The required settings, so that a test can be about others.
REQUIRED_FLAGS = {
    "output": "here",
    "cache_dir": "rows",
    "batch_size": "4",
    "layers": "2",
}


@pytest.fixture
def configure(command):
    """(gin text or None, *flags) -> BoundCommand; required flags are added before the others."""

    def bind(text=None, *flags, enough=True, path=None):
        typed = [f"--{k}={v}" for k, v in REQUIRED_FLAGS.items()] if enough else []
        triples = [
            (flag, *flag.removeprefix("--").partition("=")[::2]) for flag in [*typed, *flags]
        ]
        files = []
        if text is not None:
            path.write_text(text)
            files = [path]
        return run.bind(command, schema.describe_command(command), files, triples)

    return bind
