"""Completions of prompts by a checkpoint."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codex_jax import InputError, ranges
from codex_jax.api import arguments

if TYPE_CHECKING:
    from codex_jax.sample.engine.engine import Engine
    from codex_jax.sample.sampling.text_ends import TextEnds
    from codex_jax.sample.sampling.token_healing import TokenHealer
    from codex_jax.tokenizer import Tokenizer

_NUMBERS = itertools.count()
_RANGES = {
    "n": ranges.integer(0, 1_000_000),
    "seed": ranges.integer(-(1 << 63), (1 << 64) - 1),
}


@dataclasses.dataclass(frozen=True)
class Model:
    """A checkpoint on the devices, ready to complete prompts; `load` makes it."""

    engine: "Engine"
    tokenizer: "Tokenizer"
    ends: "TextEnds"
    healer: "TokenHealer"

    def complete(
        self,
        prompt: str,
        n: int = 1,
        *,
        max_new_tokens: int | None = None,
        stops: Sequence[str] = (),
        seed: int = 0,
        **sampling: Any,
    ) -> list[str]:
        """Samples `n` completions of a prompt.

        Args:
          prompt: The text to continue.
          n: Number of completions.
          max_new_tokens: Most tokens of a completion; by default what `load` made room for.
          stops: Strings before which a completion ends.
          seed: Changes every completion; the same seed gives the same ones.
          sampling: Fields of the sampling parameters: temperature, top_p, top_k, min_p, ...

        Raises:
          InputError: a prompt that is too long, or a parameter out of its range.

        Example:
          >>> texts = model.complete("def f(x):", n=3, temperature=0.8)
          >>> len(texts)
          3
          >>> texts == model.complete("def f(x):", n=3, temperature=0.8)
          True
        """
        from codex_jax.sample.batch_run import to_completion
        from codex_jax.sample.engine.requests import Request
        from codex_jax.sample.sampling.detokenizer import encode_prompt
        from codex_jax.sample.sampling.params import SamplingParams
        from codex_jax.sample.sampling.stop_strings import check_stops

        params = SamplingParams(**arguments.fit_settings(SamplingParams, sampling))
        ranges.check("complete", {"n": n, "seed": seed}, _RANGES)
        most = arguments.fit("max_new_tokens", max_new_tokens, int | None)
        stops = check_stops(arguments.fit("stops", stops, Sequence[str]))
        if not isinstance(prompt, str):
            raise InputError(f"prompt is {prompt!r:.60}; set it to the text to continue")
        tokens = encode_prompt(self.tokenizer, prompt, None, begin_ids=self.ends.begin_ids)
        name = f"prompt {next(_NUMBERS)}"  # a call that was interrupted may have left samples
        request = Request(name, tokens, range(n), params, int(seed), most, stops)
        request = request._replace(healed=self.healer.count(prompt, tokens))
        try:
            batches = list(self.engine.batches([request] if n else []))
        finally:
            self.engine.cancel(name)
        samples = [sample for batch in batches for sample in batch if sample.request_id == name]
        samples.sort(key=lambda sample: sample.sample_index)
        return [
            to_completion(sample, self.tokenizer, self.ends.eos_ids, stops).completion
            for sample in samples
        ]


def load(
    checkpoint: pathlib.Path | str,
    tokenizer: pathlib.Path | str,
    *,
    step: int | None = None,
    batch_size: int = 8,
    max_new_tokens: int = 128,
    dtype: str = "float32",
) -> Model:
    """Loads a checkpoint onto the devices and compiles its sampling loop.

    Args:
      checkpoint: Folder that `codex-jax train` or `import` wrote.
      tokenizer: The tokenizer that it was trained with (tokenizer.json).
      step: Step to load; by default the newest.
      batch_size: Completions that are sampled at a time.
      max_new_tokens: Most tokens of a completion; prompts may fill the rest of the context.
      dtype: Dtype of weights and activations, "float32" or "bfloat16".

    Raises:
      InputError: no checkpoint in the folder, or another tokenizer.

    Example:
      >>> model = cj.load("checkpoint", tokenizer="tokenizer.json", max_new_tokens=16)
      >>> isinstance(model.complete("def f(x):")[0], str)
      True
    """
    from codex_jax.sample.engine.capacity import plan
    from codex_jax.sample.engine.load import load_engine, read_card
    from codex_jax.sample.sampling.text_ends import read_ends
    from codex_jax.sample.sampling.token_healing import MAX_TAIL, TokenHealer
    from codex_jax.sharding import MeshShape
    from codex_jax.tokenizer import Tokenizer

    arguments.check_path("checkpoint", checkpoint)
    arguments.check_path("tokenizer", tokenizer)
    arguments.fit("step", step, int | None)
    ranges.check("load", {"batch_size": batch_size}, {"batch_size": ranges.integer(1, 65_536)})
    vocabulary = Tokenizer.load(tokenizer)
    card = read_card(str(checkpoint), step, str(tokenizer), vocabulary)
    context = card.model["max_length"]
    sizes = {"max_new_tokens": ranges.integer(1, context - 1)}
    ranges.check("load", {"max_new_tokens": max_new_tokens}, sizes)
    shape = plan(
        max_prompt_tokens=context - max_new_tokens,
        samples_per_prompt=1,
        rows=batch_size,
        max_new_tokens=max_new_tokens,
        dtype=dtype,
        tail_bytes=MAX_TAIL,
    )
    engine = load_engine(str(checkpoint), card, shape, MeshShape(), vocabulary)
    ends, healer = read_ends(card, vocabulary), TokenHealer.from_tokenizer(vocabulary)
    return Model(engine, vocabulary, ends, healer)
