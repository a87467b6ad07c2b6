"""Seconds from the start of a process to its first sampled token, compilation cache cold and warm.

    python benchmarks/time_to_first_token.py runs/smollm2 runs/smollm2.json

JAX stores compiled programs in JAX_COMPILATION_CACHE_DIR, for any of our commands.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

CHILD = """
import gc, sys, time
gc.disable()  # as the commands do while they import
from codex_jax.host_runtime import keep_freed_pages
keep_freed_pages()  # as they do, too
from codex_jax import checkpoint
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.load import load_engine
from codex_jax.sample.engine.requests import Request
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

gc.enable()
began, checkpoint_dir, tokenizer, rows = float(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
bpe = Tokenizer.load(tokenizer)
card = checkpoint.read_card(checkpoint_dir)
shape = plan(max_prompt_tokens=256, samples_per_prompt=1, rows=rows, max_new_tokens=128)
engine = load_engine(checkpoint_dir, card, shape, MeshShape(), bpe)
loaded = time.time() - began
engine.submit(Request("a", bpe.encode("def fibonacci(n):"), stream=True))
outputs = engine.step(steps=1)
print(f"weights after {loaded:.1f} s, first token after {time.time() - began:.1f} s: "
      f"{bpe.decode(outputs[0].tokens)!r}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("tokenizer")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument(
        "--cache", default="", help="folder of the compilation cache; a temporary one by default"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        setting = {
            "JAX_COMPILATION_CACHE_DIR": options.cache or fresh,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        for name in ("cold", "warm", "warm", "warm"):
            arguments = [str(time.time()), options.checkpoint, options.tokenizer, str(options.rows)]
            command = [sys.executable, "-c", CHILD, *arguments]
            out = subprocess.run(
                command, env=os.environ | setting, check=True, capture_output=True, text=True
            )
            print(f"{name}: {out.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
