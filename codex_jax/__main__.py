"""Runs `python -m codex_jax COMMAND …` as `codex-jax COMMAND …`."""

import sys

from codex_jax.main.cli import main

if __name__ == "__main__":
    sys.exit(main())
