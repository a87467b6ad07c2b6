"""An open Codex, end to end, in JAX.

    source trees ─data▶ packed rows ─train▶ checkpoint ─sample▶ completions ─evaluate▶ verdicts

Stages meet in files, never in imports; `codex_jax.main` is the only module that knows them all.
"""

__version__ = "0.1.0"


class InputError(Exception):
    """Unusable input: a line that says what is wrong, what was expected and what to set.

    The command line prints it and exits with status 2; any other exception there is our bug.
    """
