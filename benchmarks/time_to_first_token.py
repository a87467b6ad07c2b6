"""Seconds from the start of a process to its first sampled token, compilation cache cold and warm.

    python benchmarks/time_to_first_token.py runs/smollm2 runs/smollm2.json

JAX keeps what it compiled where JAX_COMPILATION_CACHE_DIR says, for any command of ours.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

CHILD = """
import gc, sys, time
gc.disable()  # as the verbs do while they import
from codex_jax.host_runtime import keep_freed_pages
keep_freed_pages()  # as they do, too
from codex_jax import checkpoint
from codex_jax.sample.generate import load_engine
from codex_jax.sample.requests import Request
from codex_jax.sample.sizes import plan
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

gc.enable()
began, checkpoint_dir, tokenizer, rows = float(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
text = Tokenizer.load(tokenizer)
card = checkpoint.read_card(checkpoint_dir)
shape = plan(longest=256, samples=1, rows=rows, new=128)
engine = load_engine(checkpoint_dir, card, shape, MeshShape(), text)
loaded = time.time() - began
engine.submit(Request("a", text.encode("def fibonacci(n):"), stream=True))
told = engine.step(steps=1)
print(f"weights after {loaded:.1f} s, first token after {time.time() - began:.1f} s: "
      f"{text.decode(told[0].tokens)!r}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("tokenizer")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--cache", default="", help="a folder; a fresh one, unless given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        setting = {
            "JAX_COMPILATION_CACHE_DIR": options.cache or fresh,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        for name in ("cold", "warm", "warm", "warm"):
            asked = [str(time.time()), options.checkpoint, options.tokenizer, str(options.rows)]
            command = [sys.executable, "-c", CHILD, *asked]
            out = subprocess.run(
                command, env=os.environ | setting, check=True, capture_output=True, text=True
            )
            print(f"{name}: {out.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
