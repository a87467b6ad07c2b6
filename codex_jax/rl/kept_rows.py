"""Packed rows of kept samples: loss on the programs alone, batch n a function of (seed, n)."""

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from codex_jax import InputError
from codex_jax.records import Batch, Completion, Problem, to_line
from codex_jax.sample.sampling.text_ends import TextEnds
from codex_jax.tokenizer import Tokenizer


class Example(NamedTuple):
    """Tokens of a prompt with its program, and the weight of each as a target."""

    tokens: list[int]
    weights: list[float]


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
        fitting = [each for each in examples if len(each.tokens) <= sequence_length + 1]
        self.too_long = len(examples) - len(fitting)
        random.Random(seed).shuffle(fitting)
        self._rows = list(_pack(fitting, sequence_length))
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
            yield Batch(*(np.stack(columns) for columns in zip(*packed, strict=True)))

    def _row(self, index: int) -> Batch:
        epoch, number = divmod(index, self.rows)
        order = list(range(self.rows))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return self._rows[order[number]]


def make_example(prompt: str, sample: Completion, tokenizer: Tokenizer, ends: TextEnds) -> Example:
    """Tokenizes a prompt with its program; the loss begins at the token that reaches into it."""
    text = tokenizer.encode(prompt + sample.completion)
    sizes = itertools.accumulate(len(tokenizer.token_bytes(token)) for token in text)
    limit, weight = len(prompt.encode()), float(sample.extra.get("weight", 1.0))
    weights = [weight if end > limit else 0.0 for end in sizes]
    begin = list(ends.begin_ids)
    return Example([*begin, *text, ends.eos_ids[0]], [*[0.0] * len(begin), *weights, weight])


def _pack(examples: Sequence[Example], length: int) -> Iterator[Batch]:
    """Fills rows with examples in their order."""
    row: list[Example] = []
    for example in examples:
        if sum(len(each.tokens) - 1 for each in (*row, example)) > length:
            yield _to_row(row, length)
            row = []
        row.append(example)
    if row:
        yield _to_row(row, length)


def _to_row(examples: Sequence[Example], length: int) -> Batch:
    columns = [np.zeros(length, np.int32) for _ in range(4)]
    tokens, targets, segment_ids, positions = columns
    weights, start = np.zeros(length, np.float32), 0
    for number, example in enumerate(examples, 1):
        part = slice(start, start + len(example.tokens) - 1)
        tokens[part], targets[part] = example.tokens[:-1], example.tokens[1:]
        segment_ids[part], positions[part] = number, np.arange(part.stop - part.start)
        weights[part] = example.weights[1:]
        start = part.stop
    return Batch(tokens, targets, segment_ids, positions, weights)
