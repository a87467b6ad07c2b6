"""Samples of many prompts from one checkpoint, in files that resume; prompts that fit the model."""

import collections
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from codex_jax import InputError, records
from codex_jax.sample.engine.load import read_card
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.detokenizer import encode_prompt
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.tokenizer import Tokenizer

Samples = Mapping[str, list[records.Completion]]  # by prompt, in the order of their indices


def is_prompts(path: pathlib.Path) -> bool:
    """Whether a file is one of a sampler's prompts, each of which is its own task_id."""
    try:
        rows = records.read_jsonl(path, records.Problem)
        return all(row.task_id == row.prompt for row in itertools.islice(rows, 1))
    except InputError:
        return False


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A checkpoint, and the settings of all its samples.

    Attributes:
      folder: where prompts and samples are written.
      checkpoint_dir: folder that train or import wrote.
      tokenizer: its tokenizer.json.
      max_new_tokens: most tokens of a sample.
      settings: further settings of `generate`.
    """

    folder: pathlib.Path
    checkpoint_dir: str
    tokenizer: str
    max_new_tokens: int
    settings: Mapping[str, Any]

    def sample(self, prompts: Iterable[str], name: str) -> Samples:
        """Samples each prompt once, or continues; prompts that are too long are absent.

        Args:
          prompts: each is its own task_id.
          name: of the files: NAME.jsonl and NAME-completions.jsonl.

        Raises:
          InputError: samples of this length leave no room for any prompt.
        """
        if self.longest_prompt < 1:
            raise InputError(
                f"max_new_tokens is {self.max_new_tokens}, and the model has {self._model[2]} "
                "tokens for prompt and sample; set max_new_tokens to fewer"
            )
        if not (rows := self._rows(prompts)):
            return {}
        problems = self.folder / f"{name}.jsonl"
        output = self.folder / f"{name}-completions.jsonl"
        records.write_jsonl(problems, rows)
        generate(
            checkpoint_dir=self.checkpoint_dir,
            tokenizer=self.tokenizer,
            problems=str(problems),
            output=str(output),
            max_new_tokens=self.max_new_tokens,
            **self.settings,
        )
        samples = collections.defaultdict(list)
        most = self.settings["samples_per_problem"]
        for completion in records.read_jsonl(output, records.Completion):
            if completion.sample_index < most:  # an earlier run may have had more
                samples[completion.task_id].append(completion)
        for group in samples.values():
            group.sort(key=lambda completion: completion.sample_index)
        return dict(samples)

    def sample_failed(self, prompts: Iterable[str], name: str) -> Samples:
        """Samples prompts that may be others than an earlier run's, as `sample` does.

        A search near its limits of time may fail for other prompts when it runs again. An earlier
        run's samples are read where it had all of these prompts; else all are made anew, which
        gives the same ones.
        """
        rows = self._rows(prompts)
        problems = self.folder / f"{name}.jsonl"
        if rows and problems.exists():
            former = list(records.read_jsonl(problems, records.Problem))
            if {row.prompt for row in rows} <= {row.prompt for row in former}:
                rows = former
            else:
                (self.folder / f"{name}-completions.jsonl").unlink(missing_ok=True)
        return self.sample((row.prompt for row in rows), name)

    def _rows(self, prompts: Iterable[str]) -> list[records.Problem]:
        """Distinct prompts that leave room for a sample, as problems."""
        return [
            records.Problem(task_id=text, prompt=text)
            for text in dict.fromkeys(prompts)
            if self.count_tokens(text) <= self.longest_prompt
        ]

    @functools.cached_property
    def _model(self) -> tuple[Tokenizer, tuple[int, ...], int]:
        """The tokenizer, the tokens before each prompt, and the model's most tokens."""
        bpe = Tokenizer.load(self.tokenizer)
        card = read_card(self.checkpoint_dir, None, self.tokenizer, bpe)
        return bpe, read_ends(card, bpe).begin_ids, card.model["max_length"]

    @property
    def longest_prompt(self) -> int:
        """The most tokens of a prompt that leave room for a sample."""
        return self._model[2] - self.max_new_tokens

    def count_tokens(self, prompt: str) -> int:
        """Counts a prompt's tokens, those in front included."""
        bpe, begin_ids, _ = self._model
        return len(encode_prompt(bpe, prompt, None, begin_ids=begin_ids))
