"""Packed rows of kept samples: loss on the programs alone, batch n a function of (seed, n)."""

import functools
import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from codex_jax import InputError
from codex_jax.data.packing.pack import Segment, pack, rows_to_batch
from codex_jax.records import Batch, Completion, Problem, to_line
from codex_jax.sample.sampling.text_ends import TextEnds
from codex_jax.tokenizer import Tokenizer


class KeptRows:
    """Rows of kept samples, as `train` reads them.

    Attributes:
      rows: Number of packed rows.
      too_long: Number of samples that fit no row, and are left out.
    """

    def __init__(
        self,
        problems: Mapping[str, Problem],
        samples: Sequence[Completion],
        tokenizer: Tokenizer,
        ends: TextEnds,
        *,
        batch_size: int,
        sequence_length: int,
        seed: int,
    ):
        """Tokenizes prompts and programs together, and packs them.

        Raises:
          InputError: no samples, or fewer that fit a row than a batch has rows.
        """
        self.vocab_size, self.tokenizer_hash = tokenizer.vocab_size, tokenizer.hash
        self.batch_size, self.sequence_length, self.seed = batch_size, sequence_length, seed
        text = "".join(map(to_line, samples))
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        examples = [make_example(problems[s.task_id].prompt, s, tokenizer, ends) for s in samples]
        fitting = [each for each in examples if len(each) <= sequence_length]
        self.too_long = len(examples) - len(fitting)
        random.Random(seed).shuffle(fitting)
        self._rows = list(pack(fitting, sequence_length=sequence_length))
        self.rows = len(self._rows)
        if self.rows < batch_size:
            raise InputError(
                f"{len(fitting)} samples were kept, which fill {self.rows} rows; set batch_size to "
                "that or less, samples_per_problem higher, or problems to easier ones"
            )

    def batches(self, start: int, rows: np.ndarray | None = None) -> Iterator[Batch]:
        """Batches `start`, `start` + 1, … without end; of each the rows of these indices."""
        chosen = np.arange(self.batch_size) if rows is None else rows
        for batch in itertools.count(start):
            first = batch * self.batch_size
            packed = [self._row(first + int(index)) for index in chosen]
            yield rows_to_batch(packed, self.sequence_length)

    def _row(self, index: int) -> list[Segment]:
        epoch, number = divmod(index, self.rows)
        return self._rows[_shuffled(self.rows, f"{self.seed}/{epoch}")[number]]


@functools.lru_cache(maxsize=2)  # a batch reaches into two epochs
def _shuffled(count: int, seed: str) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


def make_example(prompt: str, sample: Completion, tokenizer: Tokenizer, ends: TextEnds) -> Segment:
    """Tokenizes a prompt with its program; the loss begins at the token that reaches into it."""
    text = tokenizer.encode(prompt + sample.completion)
    sizes = itertools.accumulate(len(tokenizer.token_bytes(token)) for token in text)
    limit, weight = len(prompt.encode()), float(sample.extra.get("weight", 1.0))
    begin = list(ends.begin_ids)
    tokens = np.array([*begin, *text, ends.eos_ids[0]], np.int32)
    weights = [*[0.0] * len(begin), *(weight * (end > limit) for end in sizes), weight]
    return Segment(tokens[:-1], tokens[1:], np.array(weights[1:], np.float32))
