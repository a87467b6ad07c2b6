"""Data whose answer is known: the next token is this token + 1."""

import numpy as np

from codex_jax.records import Batch


class CountingBatches:
    """Rows that count upward from random starts, with some padding at the end of each."""

    fingerprint, tokenizer_hash, seed = "counting", "none", 0

    def __init__(self, *, vocab_size=64, sequence_length=32, batch_size=16):
        self.vocab_size = vocab_size
        self.sequence_length = sequence_length
        self.batch_size = batch_size

    def batch(self, step: int) -> Batch:
        B, T, V = self.batch_size, self.sequence_length, self.vocab_size
        rng = np.random.default_rng(step)
        run = (rng.integers(0, V, (B, 1)) + np.arange(T + 1)) % V
        real = np.arange(T) < rng.integers(T // 2, T + 1, (B, 1))
        where = np.broadcast_to(np.arange(T), (B, T))
        return Batch(
            *(x.astype(np.int32) for x in (run[:, :-1] * real, run[:, 1:] * real, real, where)),
            loss_weights=real.astype(np.float32),
        )

    def batches(self, start, rows=None):
        step = start
        while True:
            yield Batch(*(x[slice(None) if rows is None else rows] for x in self.batch(step)))
            step += 1


def main(checkpoint_dir: str, steps: str | int, **settings) -> None:
    """A small training run on counting rows, for tests that kill it."""
    from codex_jax.model import DecoderConfig
    from codex_jax.train.loop import train
    from codex_jax.train.optimizer import Optimizer

    train(
        batches=CountingBatches(),
        model=DecoderConfig(vocab_size=64, layers=2, width=32, heads=4, max_length=32),
        checkpoint_dir=checkpoint_dir,
        steps=int(steps),
        **{
            "optimizer": Optimizer(learning_rate=1e-2, warmup_steps=4),
            "log_every": 2,
            "save_every": 5,
            **settings,
        },
    )


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
