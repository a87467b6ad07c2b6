"""An open Codex, end to end, in JAX.

    source trees ─data▶ packed rows ─train▶ checkpoint ─sample▶ completions ─evaluate▶ verdicts

Stages meet in files, never in imports; `codex_jax.main` and `codex_jax.api` know them all.

In Python, `import codex_jax as cj` loads nothing yet; each name below loads what it needs:

    model = cj.load("checkpoint", tokenizer="tokenizer.json")
    texts = model.complete("def double(x):", n=20)
    verdicts = cj.judge(problem, texts)
    cj.pass_at_k(verdicts)[1].mean
    rows = cj.read_rows("rows", batch_size=8)
    cj.train_decoder(rows, "checkpoint", steps=450, decoder={...})
"""

__version__ = "0.1.0"

# Type checkers take a constant of this name for true; importing typing would cost milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from codex_jax.api.completion import Model as Model
    from codex_jax.api.completion import load as load
    from codex_jax.api.judging import judge as judge
    from codex_jax.api.judging import pass_at_k as pass_at_k
    from codex_jax.api.training import build_rows as build_rows
    from codex_jax.api.training import read_rows as read_rows
    from codex_jax.api.training import train_decoder as train_decoder
    from codex_jax.api.training import train_tokenizer as train_tokenizer
    from codex_jax.records import Completion as Completion
    from codex_jax.records import Problem as Problem
    from codex_jax.records import Verdict as Verdict

# Name → module, imported at the first use (PEP 562).
_LAZY = {
    name: module
    for module, names in {
        "codex_jax.records": ("Completion", "Problem", "Verdict"),
        "codex_jax.api.training": ("build_rows", "read_rows", "train_decoder", "train_tokenizer"),
        "codex_jax.api.completion": ("Model", "load"),
        "codex_jax.api.judging": ("judge", "pass_at_k"),
    }.items()
    for name in names
}


def __getattr__(name: str) -> object:
    """Imports a name of the Python interface at its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'codex_jax' has no attribute {name!r}")
    import importlib

    importlib.import_module("codex_jax.host_runtime").quiet_libtpu()
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """Lists the names of the Python interface too."""
    return sorted([*globals(), *_LAZY])


class InputError(Exception):
    """Unusable input: a line that says what is wrong, what was expected and what to set.

    The command line prints it and exits with status 2; any other exception there is our bug.
    """
