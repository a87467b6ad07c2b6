"""Samples of prompts by the weights that are trained, in the same process and on the same mesh."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from codex_jax import InputError, sharding
from codex_jax.model import DecoderConfig
from codex_jax.rl.prompts import Prompt
from codex_jax.sample.engine.capacity import bucket, plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request, Sample
from codex_jax.sample.sampling.detokenizer import detokenize
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.sampling.text_ends import TextEnds
from codex_jax.tokenizer import Tokenizer


class SamplerSettings(NamedTuple):
    """Sizes and parameters of the samples."""

    samples: int  # of a prompt
    rows: int  # samples that run at a time
    max_new_tokens: int
    stops: tuple[str, ...]
    params: SamplingParams
    dtype: str


class Group(NamedTuple):
    """Samples of one prompt, in the order of their indices, with their texts."""

    prompt: Prompt
    samples: list[Sample]
    texts: list[str]


class Sampler:
    """An engine on the trainer's mesh, and the text of its samples."""

    def __init__(
        self,
        config: DecoderConfig,
        params: Any,
        mesh: Mesh,
        tokenizer: Tokenizer,
        ends: TextEnds,
        settings: SamplerSettings,
        *,
        longest_prompt: int,
        held: int = 0,
    ):
        """Places the engine's arrays on the mesh.

        Args:
          config: The model's.
          params: The trainer's.
          mesh: The trainer's.
          tokenizer: The model's.
          ends: Tokens that begin and end a text.
          settings: Sizes and parameters.
          longest_prompt: Tokens of the longest prompt.
          held: Bytes of each device that the trainer takes.
        """
        self._settings, self._tokenizer, self._ends = settings, tokenizer, ends
        token_bytes = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        token_bytes += [b""] * (config.vocab_size - len(token_bytes))
        self._engine = Engine(
            config,
            params,
            plan(
                max_prompt_tokens=longest_prompt,
                samples_per_prompt=settings.samples,
                rows=settings.rows,
                max_new_tokens=settings.max_new_tokens,
                dtype=settings.dtype,
            ),
            token_bytes=token_bytes,
            eos_ids=ends.eos_ids,
            special_ids=tokenizer.special_ids,
            mesh=mesh,
            prompt_tokens=longest_prompt,
            held=held,
        )

    def replace_params(self, params: Any) -> None:
        """Takes new weights; waits until they are there."""
        self._engine.replace_params(params)
        jax.block_until_ready(self._engine.params)

    def warm_up(self, prompts: Sequence[Prompt]) -> None:
        """Compiles what prompts of every length need: a token of one prompt of each size."""
        by_size = {bucket(len(prompt.tokens)): prompt for prompt in prompts}
        requests = [
            Request(str(size), prompt.tokens, (0,), self._settings.params, 0, 1)
            for size, prompt in by_size.items()
        ]
        list(self._engine.run(requests))

    def sample(self, prompts: Sequence[Prompt], seed: int) -> list[Group]:
        """Samples every prompt; a group is a function of (weights, prompt, seed) alone."""
        settings = self._settings
        requests = [
            Request(
                prompt.task_id,
                prompt.tokens,
                range(settings.samples),
                settings.params,
                seed,
                settings.max_new_tokens,
                settings.stops,
            )
            for prompt in prompts
        ]
        samples: dict[str, list[Sample]] = {prompt.task_id: [] for prompt in prompts}
        for sample in self._engine.run(requests):
            samples[sample.request_id].append(sample)
        return [self._to_group(prompt, samples[prompt.task_id]) for prompt in prompts]

    def _to_group(self, prompt: Prompt, samples: list[Sample]) -> Group:
        ordered = sorted(samples, key=lambda sample: sample.sample_index)
        texts = [
            detokenize(
                sample.tokens.tolist(),
                self._tokenizer.token_bytes,
                eos_ids=self._ends.eos_ids,
                stops=self._settings.stops,
            )
            for sample in ordered
        ]
        return Group(prompt, ordered, texts)


def check_sizes(config: DecoderConfig, mesh: Mesh, rows: int) -> None:
    """Checks that the sampler's rows and the model's heads divide over the mesh.

    Raises:
      InputError: the first setting that doesn't.
    """
    shards = sharding.data_parallel(mesh)
    if rows % shards:
        raise InputError(
            f"sampler_rows is {rows}; set it to a multiple of the {shards} data-parallel devices"
        )
    if config.kv_heads % mesh.shape["tensor"]:
        raise InputError(
            f"MeshShape.tensor is {mesh.shape['tensor']}; set it to a divisor of the model's "
            f"{config.kv_heads} kv_heads"
        )
    if mesh.shape["context"] > 1:
        raise InputError(
            f"MeshShape.context is {mesh.shape['context']}; set it to 1: samples are too short to "
            "be split"
        )
