"""The toy verb, loaded once: gin remembers what was registered."""

import importlib.util
import pathlib
import sys

import pytest

from codex_jax.main import run, schema
from codex_jax.main.commands import VERBS, Verb, Wire


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
def verb(monkeypatch):
    wires = {"rows": Wire("toy:Reader", gives={"Shape.vocab_size": "vocab_size"})}
    made = Verb("work", "toy:work", "toil", wires)
    monkeypatch.setitem(VERBS, "work", made)
    return made


# What must be set, so that a test can be about something else.
ENOUGH = {
    "output": "here",
    "rows": "rows",
    "batch_size": "4",
    "layers": "2",
}


@pytest.fixture
def configure(verb):
    """(gin text or None, *flags) -> Run; flags as typed, what must be set added beneath them."""

    def configured(text=None, *flags, enough=True, path=None):
        typed = [f"--{k}={v}" for k, v in ENOUGH.items()] if enough else []
        taken = [(flag, *flag.removeprefix("--").partition("=")[::2]) for flag in [*typed, *flags]]
        files = []
        if text is not None:
            path.write_text(text)
            files = [path]
        return run.configure(verb, schema.described(verb), files, taken)

    return configured
