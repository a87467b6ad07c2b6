"""An open Codex, end to end, in JAX.

    source trees ─data▶ packed rows ─train▶ checkpoint ─sample▶ completions ─evaluate▶ verdicts

Stages meet in files, never in imports; `codex_jax.main` is the only module that knows them all.
"""

__version__ = "0.1.0"


class InputError(Exception):
    """What a person gave is unusable: one line saying what was found, expected, and what to turn.

    The command line prints it and exits with status 2; anything else that reaches it is our bug.
    """
