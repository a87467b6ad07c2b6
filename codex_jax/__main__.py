"""`python -m codex_jax VERB …` is `codex-jax VERB …`."""

import sys

from codex_jax.main.cli import main

if __name__ == "__main__":
    sys.exit(main())
