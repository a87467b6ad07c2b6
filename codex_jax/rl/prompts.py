"""Prompts of the problems to learn from; the prompts of batch n are a function of (seed, n)."""

import dataclasses
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from codex_jax import InputError
from codex_jax.evaluate.problems import formats
from codex_jax.records import Problem
from codex_jax.rl.cases import Cases, split_cases
from codex_jax.sample.sampling.detokenizer import encode_prompt
from codex_jax.sample.sampling.token_healing import TokenHealer
from codex_jax.tokenizer import Tokenizer


class Prompt(NamedTuple):
    """A problem's prompt as it is sampled."""

    task_id: str
    text: str  # what programs begin with
    tokens: list[int]


class Prompts:
    """All prompts, with the sizes of a batch of their samples.

    Attributes:
      cases: By task_id, the rewarded and shadow cases.
      problems: By task_id.
      fingerprint: Hash of problems and their split.
      vocab_size: Number of the tokenizer's ids.
      tokenizer_hash: The tokenizer's.
      seed: Of the order.
      batch_size: Samples of a batch.
      sequence_length: Tokens of a row with a prompt and its sample.
    """

    def __init__(
        self,
        problems: Mapping[str, Problem],
        tokenizer: Tokenizer,
        begin_ids: Sequence[int],
        sizes: "BatchSizes",
        *,
        shadow_share: float,
        heals: bool,
        seed: int,
    ):
        """Tokenizes prompts and splits tests.

        Args:
          problems: By task_id.
          tokenizer: The model's.
          begin_ids: Tokens in front of every prompt.
          sizes: Of a batch.
          shadow_share: Share of a problem's cases that is never rewarded.
          heals: Whether the model samples a prompt's last tokens anew where a longer token may
            stand there.
          seed: Of the order.

        Raises:
          InputError: a problem that can't be learned from, or fewer problems than a batch has.
        """
        self.problems, self.seed = dict(problems), seed
        self.cases: dict[str, Cases] = {
            task_id: split_cases(problem, shadow_share) for task_id, problem in problems.items()
        }
        healer = TokenHealer.from_tokenizer(tokenizer) if heals else None
        self._prompts = [_make(p, tokenizer, begin_ids, healer) for p in problems.values()]
        if len(self._prompts) < sizes.prompts:
            raise InputError(
                f"{len(self._prompts)} problems; set prompts_per_batch to that or less, not "
                f"{sizes.prompts}"
            )
        self._sizes = sizes
        self.vocab_size, self.tokenizer_hash = tokenizer.vocab_size, tokenizer.hash
        self.batch_size = sizes.prompts * sizes.samples
        longest = self.longest + sizes.max_new_tokens - 1
        self.sequence_length = -(-longest // sizes.multiple) * sizes.multiple
        content = [dataclasses.asdict(p) for p in problems.values()]
        text = json.dumps([content, shadow_share, heals], sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(len(prompt.tokens) for prompt in self._prompts)

    @property
    def by_length(self) -> list[Prompt]:
        """All prompts, the shortest first."""
        return sorted(self._prompts, key=lambda prompt: len(prompt.tokens))

    def order(self, batch: int) -> list[Prompt]:
        """Returns all prompts: first those of batch n, then those that may refill it, at random.

        Batches go through the problems without repeating one, and then begin anew in another order.
        """
        count = len(self._prompts)
        epoch, index = divmod(batch, count // self._sizes.prompts)
        numbers = list(range(count))
        random.Random(f"{self.seed}/{epoch}").shuffle(numbers)
        start = index * self._sizes.prompts
        chosen = numbers[start : start + self._sizes.prompts]
        others = numbers[:start] + numbers[start + self._sizes.prompts :]
        random.Random(f"{self.seed}/refill/{batch}").shuffle(others)
        return [self._prompts[number] for number in chosen + others]

    def sampling_seed(self, batch: int) -> int:
        """Returns the seed of a batch's samples."""
        digest = hashlib.sha256(f"{self.seed}/{batch}".encode()).digest()
        return int.from_bytes(digest[:4], "little")


class BatchSizes(NamedTuple):
    """Prompts of a batch, samples of each, their longest; rows have a multiple of `multiple`."""

    prompts: int
    samples: int
    max_new_tokens: int
    multiple: int = 16


def _make(
    problem: Problem, tokenizer: Tokenizer, begin_ids: Sequence[int], healer: TokenHealer | None
) -> Prompt:
    """Tokenizes a prompt, without the tokens that its samples spell anew."""
    try:
        tokens = encode_prompt(tokenizer, problem.prompt, None, begin_ids=begin_ids)
    except InputError as error:
        raise InputError(f"{problem.task_id}: {error}") from None
    text = formats.program(problem, "")
    removed = healer.count(problem.prompt, tokens) if healer else 0
    if not removed:
        return Prompt(problem.task_id, text, tokens)
    tail = tokenizer.decode_bytes(tokens[len(tokens) - removed :])
    try:
        shorter = text.encode().removesuffix(tail).decode()
    except UnicodeDecodeError:  # the tail begins within a character
        return Prompt(problem.task_id, text, tokens)
    return Prompt(problem.task_id, shorter, tokens[: len(tokens) - removed])


def read_problems(path: str) -> dict[str, Problem]:
    """Reads problems by task_id.

    Raises:
      InputError: the file is missing or empty, or a problem lacks what judging needs.
    """
    return formats.load_problems(path)
