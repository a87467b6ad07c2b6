"""LoRA beside full fine-tuning: tokens per second, losses and memory of both, in one run.

    codex-jax import --source=SmolLM2-135M-Instruct.Q4_1.gguf --output=smollm2 \
        --tokenizer=smollm2.json
    codex-jax data build gin_configs/data/codex_s.gin --problems=problems.jsonl \
        --tokenizer=smollm2.json --output=codex_s_rows
    python benchmarks/lora.py --checkpoint=smollm2 --rows=codex_s_rows

Both begin with the checkpoint's weights and take their steps by turns, on the same batches; what is
compiled isn't timed. CPU seconds are shown beside those of the wall, for machines that others use
as well. The last line compares the medians.
"""

import argparse
import statistics
import time
from typing import Any

import jax

from codex_jax import checkpoint, sharding
from codex_jax.data.packing.batches import BatchReader
from codex_jax.host_runtime import keep_freed_pages
from codex_jax.model import DecoderConfig
from codex_jax.train import optimizer, state
from codex_jax.train.compute import Compute, jit_step
from codex_jax.train.initialization import Source, initial_state
from codex_jax.train.lora import Lora, trained_params


class Side:
    """A way to fine-tune the checkpoint."""

    def __init__(self, options: argparse.Namespace, lora: Lora, rate: float):
        self.lora, self.seconds, self.cpu, self.losses = lora, [], [], []
        source = Source(options.checkpoint)
        config = DecoderConfig.from_json(source.card.model)
        mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
        axes = trained_params(config, lora)[1]
        settings = optimizer.Optimizer(
            learning_rate=rate, warmup_steps=1, schedule="constant", weight_decay=0.0
        )
        tx = optimizer.make(settings, steps=options.steps + 1, axes=axes)
        self.state = initial_state(source, config, tx, mesh, seed=0, lora=lora)
        self.step = jit_step(config, tx, Compute(dtype=options.dtype), mesh, lora=lora)
        self.base: Any = None
        if lora.lora_rank:
            shapes = state.abstract_params(config, mesh)
            self.base = checkpoint.restore_params(options.checkpoint, shapes)

    def run_step(self, batch: Any) -> None:
        """Takes a step and measures it."""
        begin, cpu = time.perf_counter(), time.process_time()
        arguments = (self.state, batch) if self.base is None else (self.state, batch, self.base)
        self.state, metrics = jax.block_until_ready(self.step(*arguments))
        self.seconds.append(time.perf_counter() - begin)
        self.cpu.append(time.process_time() - cpu)
        self.losses.append(float(metrics["loss"]))

    def count(self) -> tuple[int, int]:
        """Numbers of trained parameters, and of bytes of the state and the base."""
        leaves = [x for x in jax.tree.leaves((self.state, self.base)) if hasattr(x, "nbytes")]
        trained = sum(x.size for x in jax.tree.leaves(self.state.params))
        return trained, sum(x.nbytes for x in leaves)


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="weights to begin with")
    parser.add_argument("--rows", required=True, help="packed rows of its tokenizer")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--targets", default="", help='such as "q,v"; all matrices by default')
    parser.add_argument("--rate", type=float, default=1e-4, help="of full fine-tuning")
    parser.add_argument("--lora_rate", type=float, default=1e-3)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    return parser.parse_args()


def main() -> None:
    """Runs both sides by turns and prints the table."""
    options = parse_options()
    keep_freed_pages()  # as `codex-jax train` does
    lora = Lora(lora_rank=options.rank, lora_targets=options.targets)
    sides = {
        "full": Side(options, Lora(), options.rate),
        "LoRA": Side(options, lora, options.lora_rate),
    }
    reader = BatchReader(options.rows, batch_size=options.batch_size, seed=0)
    for name, side in sides.items():
        trained, size = side.count()
        print(
            f"{name}: {trained:,} trained parameters, {size / 2**20:,.0f} MiB of state", flush=True
        )
    print("step   full loss   LoRA loss   full s (CPU s)   LoRA s (CPU s)")
    for number, batch in zip(range(options.steps + 1), reader.batches(0), strict=False):
        for side in sides.values():
            side.run_step(batch)
        losses = "   ".join(f"{side.losses[-1]:9.4f}" for side in sides.values())
        times = "   ".join(f"{s.seconds[-1]:6.1f} ({s.cpu[-1]:6.1f})" for s in sides.values())
        print(f"{number:4}   {losses}   {times}", flush=True)
    describe(sides, options.batch_size * reader.sequence_length)


def describe(sides: dict[str, Side], tokens: int) -> None:
    """Prints the medians of all steps but the first, which compiles."""
    medians = {}
    for clock in ("seconds", "cpu"):
        for name, side in sides.items():
            medians[clock, name] = statistics.median(getattr(side, clock)[1:])
        rates = ", ".join(f"{name} {tokens / medians[clock, name]:,.0f}" for name in sides)
        ratio = medians[clock, "full"] / medians[clock, "LoRA"]
        print(f"tokens per {clock.removesuffix('s')}: {rates}; LoRA {ratio:.2f} ×")


if __name__ == "__main__":
    main()
