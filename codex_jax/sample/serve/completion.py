"""Answers one request: submits it to the engine's thread, and assembles the outputs."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.sample.engine.requests import PromptLogprobs, Sample
from codex_jax.sample.serve.choices import ChoiceBuilder, make_choice, usage
from codex_jax.sample.serve.completion_request import CompletionRequest
from codex_jax.sample.serve.engine_thread import EngineOutput, EngineThread
from codex_jax.sample.serve.errors import ApiError
from codex_jax.tokenizer import Tokenizer


class _Piece(NamedTuple):
    """The next piece of a choice."""

    prompt: int
    sample: int
    text: str
    logprobs: dict | None
    finish_reason: str | None


class Completion:
    """A request in progress. Makes `text_completion` objects, complete or in chunks."""

    def __init__(
        self,
        completion_id: str,
        model: str,
        request: CompletionRequest,
        tokenizer: Tokenizer,
        eos_ids: Collection[int],
        engine_thread: EngineThread,
        fingerprint: str,
    ):
        self.id, self.request = completion_id, request
        self._tokenizer, self._eos_ids, self._engine_thread = tokenizer, eos_ids, engine_thread
        self._requests = request.engine_requests(completion_id)
        self._head = {
            "id": completion_id,
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"fp_{fingerprint}",
        }
        self._builders: dict[tuple[int, int], ChoiceBuilder] = {}

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts."""
        return sum(map(len, self.request.prompts))

    @property
    def completion_tokens(self) -> int:
        """New tokens so far, of all candidates."""
        return sum(builder.count for builder in self._builders.values())

    async def complete(self) -> dict[str, Any]:
        """The response, once all samples are finished."""
        candidates: dict[tuple[int, int], dict[str, Any]] = {}
        async for prompt, sample, text, logprobs, finish_reason in self._pieces():
            choice = candidates.setdefault((prompt, sample), make_choice(0, "", None, None))
            choice["text"] += text
            choice["finish_reason"] = finish_reason or choice["finish_reason"]
            choice["logprobs"] = _join_logprobs(choice["logprobs"], logprobs)
        choices = [candidates[key] for key in self._rank(candidates)]
        for number, choice in enumerate(choices):
            choice["index"] = number
        total = usage(self.request.prompts, self.completion_tokens)
        return self._head | {"choices": choices, "usage": total}

    async def stream(self) -> AsyncGenerator[dict[str, Any]]:
        """Chunks as they come."""
        no_usage: dict[str, Any] = {"usage": None} if self.request.include_usage else {}
        async for prompt, sample, text, logprobs, finish_reason in self._pieces():
            if text or finish_reason or (logprobs and logprobs["tokens"]):
                index = prompt * self.request.n + sample
                choice = make_choice(index, text, logprobs, finish_reason)
                yield self._head | {"choices": [choice]} | no_usage
        if self.request.include_usage:
            total = usage(self.request.prompts, self.completion_tokens)
            yield self._head | {"choices": [], "usage": total}

    def _rank(self, candidates: dict[tuple[int, int], Any]) -> list[tuple[int, int]]:
        """The n candidates of each prompt with the highest mean log-probability, best first."""
        if self.request.best_of == self.request.n:
            return sorted(candidates)

        def mean_logprob(key: tuple[int, int]) -> float:
            builder = self._builders[key]
            return builder.total_logprob / builder.count if builder.count else -math.inf

        ranked = []
        for prompt in range(len(self.request.prompts)):
            keys = [key for key in candidates if key[0] == prompt]
            ranked += sorted(keys, key=mean_logprob, reverse=True)[: self.request.n]
        return ranked

    async def _pieces(self) -> AsyncIterator[_Piece]:
        """Pieces of all choices until all have ended."""
        if not self.request.max_tokens and not self._requests[0].echo:
            for number in range(len(self._requests)):  # nothing to score, nothing to sample
                for piece in self._first_pieces(number, None):
                    yield piece
            return
        numbers = {request.id: number for number, request in enumerate(self._requests)}
        candidates = self.request.best_of if self.request.max_tokens else self.request.n
        remaining = len(numbers) * candidates
        async for output in self._outputs():
            number = numbers[output.request_id]
            if isinstance(output, PromptLogprobs):
                pieces = self._first_pieces(number, output)
            else:
                pieces = self._sample_pieces(number, output)
            for piece in pieces:
                yield piece
                remaining -= bool(piece.finish_reason)
            if not remaining:
                return

    def _first_pieces(self, number: int, logprobs: PromptLogprobs | None) -> Iterator[_Piece]:
        """The echoed prompt of each choice, which is all of it if no new tokens are requested."""
        finish_reason = None if self.request.max_tokens else "length"
        count = self.request.best_of if self.request.max_tokens else self.request.n
        for index in range(count):
            builder = self._builder(number, index)
            text, prompt_logprobs = "", None
            if self.request.echo:
                text, prompt_logprobs = self._echo(number, builder, logprobs)
            yield _Piece(number, index, text, prompt_logprobs, finish_reason)

    def _sample_pieces(self, number: int, sample: Sample) -> Iterator[_Piece]:
        is_first = (number, sample.sample_index) not in self._builders
        builder = self._builder(number, sample.sample_index)
        if is_first and self.request.echo:
            text, _ = self._echo(number, builder, None)
            yield _Piece(number, sample.sample_index, text, None, None)
        text, logprobs = builder.add(sample)
        yield _Piece(number, sample.sample_index, text, logprobs, sample.finish_reason or None)

    def _echo(
        self, number: int, builder: ChoiceBuilder, logprobs: PromptLogprobs | None
    ) -> tuple[str, dict | None]:
        request = self.request
        begin, text = request.begin_tokens[number], request.texts[number]
        return builder.echo(request.prompts[number], logprobs, begin=begin, text=text)

    def _builder(self, number: int, index: int) -> ChoiceBuilder:
        key = number, index
        if key not in self._builders:
            self._builders[key] = ChoiceBuilder(
                self._tokenizer.token_bytes,
                eos_ids=self._eos_ids,
                stops=self.request.stops,
                top_logprobs=self.request.logprobs,
                start=self.request.prompt_characters[number],
            )
        return self._builders[key]

    async def _outputs(self) -> AsyncIterator[Sample | PromptLogprobs]:
        """The engine's outputs; however this ends, the engine drops the request."""
        loop, inbox = asyncio.get_running_loop(), asyncio.Queue[EngineOutput]()
        self._engine_thread.submit(
            self._requests, lambda output: loop.call_soon_threadsafe(inbox.put_nowait, output)
        )
        try:
            while True:
                output = await inbox.get()
                if isinstance(output, InputError):
                    raise ApiError(400, str(output))
                if isinstance(output, Exception):
                    raise ApiError(500, "the engine has failed; see the server's log")
                yield output
        finally:
            self._engine_thread.cancel([request.id for request in self._requests])


def _join_logprobs(first: dict | None, second: dict | None) -> dict | None:
    if first and second:
        return {name: first[name] + second[name] for name in second}
    return second or first
