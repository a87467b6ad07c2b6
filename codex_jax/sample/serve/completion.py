"""Answers one request: asks the engine's thread, and puts together what it tells."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from codex_jax import InputError
from codex_jax.sample.engine.requests import Sample, Scored
from codex_jax.sample.serve.choices import Writer, choice, usage
from codex_jax.sample.serve.completion_request import Asked
from codex_jax.sample.serve.engine_thread import Driver, Told
from codex_jax.sample.serve.errors import ApiError
from codex_jax.tokenizer import Tokenizer


class Completion:
    """One request under way. `text_completion` objects, whole or in pieces."""

    def __init__(self, name: str, model: str, asked: Asked, text: Tokenizer, driver: Driver):
        self.name, self.asked, self._text, self._driver = name, asked, text, driver
        self._requests = asked.requests(name)
        self._head = {
            "id": name,
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"fp_{text.hash[:12]}",
        }
        self._writers: dict[tuple[int, int], Writer] = {}

    @property
    def prompt_tokens(self) -> int:
        return sum(map(len, self.asked.prompts))

    @property
    def completion_tokens(self) -> int:
        """So far, of all candidates."""
        return sum(writer.count for writer in self._writers.values())

    async def whole(self) -> dict[str, Any]:
        """The answer, once everything is finished."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        async for prompt, index, text, logprobs, reason in self._pieces():
            one = found.setdefault((prompt, index), choice(0, "", None, None))
            one["text"] += text
            one["finish_reason"] = reason or one["finish_reason"]
            if one["logprobs"] and logprobs:
                logprobs = {name: one["logprobs"][name] + logprobs[name] for name in logprobs}
            one["logprobs"] = logprobs or one["logprobs"]
        choices = [found[key] for key in self._best(found)]
        for number, one in enumerate(choices):
            one["index"] = number
        total = usage(self.asked.prompts, self.completion_tokens)
        return self._head | {"choices": choices, "usage": total}

    async def stream(self) -> AsyncIterator[dict[str, Any]]:
        """Chunks as they come."""
        no_usage: dict[str, Any] = {"usage": None} if self.asked.usage else {}
        async for prompt, index, text, logprobs, reason in self._pieces():
            if text or reason or (logprobs and logprobs["tokens"]):
                one = choice(prompt * self.asked.n + index, text, logprobs, reason)
                yield self._head | {"choices": [one]} | no_usage
        if self.asked.usage:
            total = usage(self.asked.prompts, self.completion_tokens)
            yield self._head | {"choices": [], "usage": total}

    def _best(self, found: dict[tuple[int, int], Any]) -> list[tuple[int, int]]:
        """Of each prompt's candidates the n likeliest by their mean token, the best first."""
        if self.asked.best_of == self.asked.n:
            return sorted(found)

        def mean(key):
            return self._writers[key].total / max(1, self._writers[key].count)

        return [
            key
            for prompt in range(len(self.asked.prompts))
            for key in sorted((k for k in found if k[0] == prompt), key=mean, reverse=True)[
                : self.asked.n
            ]
        ]

    async def _pieces(self) -> AsyncIterator[tuple[int, int, str, dict | None, str | None]]:
        """(prompt, sample, text, log-probabilities, why it ended) until all have ended."""
        if not self.asked.new and not self._requests[0].echo:
            for number in range(len(self._requests)):  # nothing to score, nothing to sample
                for piece in self._opened(number, None):
                    yield piece
            return
        numbers = {request.name: number for number, request in enumerate(self._requests)}
        left = len(numbers) * (self.asked.best_of if self.asked.new else self.asked.n)
        async for told in self._told():
            number = numbers[told.name]
            if isinstance(told, Scored):
                for piece in self._opened(number, told):
                    left -= not self.asked.new
                    yield piece
            else:
                for piece in self._said(number, told):
                    yield piece
                left -= bool(told.reason)
            if not left:
                return

    def _opened(self, number: int, scored: Scored | None):
        """The prompts' part of choices, which is all of them where no new tokens are wanted."""
        over = None if self.asked.new else "length"
        count = self.asked.best_of if self.asked.new else self.asked.n
        for index in range(count):
            writer = self._writer(number, index)
            text, logprobs = "", None
            if self.asked.echo:
                text, logprobs = writer.prompt(self.asked.prompts[number], scored)
            yield number, index, text, logprobs, over

    def _said(self, number: int, sample: Sample):
        fresh = (number, sample.index) not in self._writers
        writer = self._writer(number, sample.index)
        if fresh and self.asked.echo:
            text, _ = writer.prompt(self.asked.prompts[number], None)
            yield number, sample.index, text, None, None
        text, logprobs = writer.piece(sample)
        yield number, sample.index, text, logprobs, sample.reason or None

    def _writer(self, number: int, index: int) -> Writer:
        key = number, index
        if key not in self._writers:
            self._writers[key] = Writer(
                self._text.token_bytes,
                eos_id=self._text.eos_id,
                stops=self.asked.stops,
                likely=self.asked.logprobs,
                start=self.asked.sizes[number],
            )
        return self._writers[key]

    async def _told(self) -> AsyncIterator[Sample | Scored]:
        """What the engine tells; however this ends, the engine forgets the request."""
        loop, inbox = asyncio.get_running_loop(), asyncio.Queue[Told]()
        self._driver.ask(
            self._requests, lambda told: loop.call_soon_threadsafe(inbox.put_nowait, told)
        )
        try:
            while True:
                told = await inbox.get()
                if isinstance(told, InputError):
                    raise ApiError(400, str(told))
                if isinstance(told, Exception):
                    raise ApiError(500, "the engine has failed; see the server's log")
                yield told
        finally:
            self._driver.cancel([request.name for request in self._requests])
