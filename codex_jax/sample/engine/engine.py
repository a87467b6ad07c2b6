"""The engine's host side: takes requests, returns samples, keeps the device busy.

    engine = Engine(config, params, plan(...), token_bytes=..., eos_ids=..., mesh=...)
    engine.submit(Request(id, tokens, ...))      at any time; requests may differ in everything
    for output in engine.step(steps=8):          one call of the compiled loop
        ...                                      Sample (or a piece of one), or PromptLogprobs
    engine.cancel(id)                            drops its samples; nothing more is returned of it
    engine.idle                                  whether all requests are finished

    for samples in engine.batches(requests):     all of that, for a list of requests
        ...                                      the finished Samples of each call

Between two calls of the loop it frees prompts whose samples have all ended, prefills the next ones
into their slots, refills the queue, and returns finished samples. One thread at a time may use an
engine. A sample depends on (parameters, prompt, sampling parameters, seed, index, stops, maximum
length) alone.
"""

import collections
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from codex_jax import InputError, model
from codex_jax.sample.engine.executor import Executor, LoopOutput
from codex_jax.sample.engine.memory import fit_to_devices
from codex_jax.sample.engine.prefill import PromptScores
from codex_jax.sample.engine.prompt_slots import PromptSlots
from codex_jax.sample.engine.requests import (
    PromptLogprobs,
    Request,
    Sample,
    TopLogprobs,
    check_tokens,
)
from codex_jax.sample.engine.sample_slots import PendingSample, SampleSlots
from codex_jax.sample.engine.state import RUNNING, STOPPED, EngineShape
from codex_jax.sample.sampling.stop_strings import StopAutomata, check_stops, truncate_at_stop
from codex_jax.sample.sampling.token_healing import MAX_TAIL

STEPS = 64  # of one call of the loop
STOP_STATES = 256


class Engine:
    """Runs requests on the device."""

    def __init__(
        self,
        config: model.DecoderConfig,
        params: model.Params | Callable[[], model.Params],
        shape: EngineShape,
        *,
        token_bytes: Sequence[bytes],
        eos_ids: Sequence[int],
        mesh: Mesh,
        stop_states: int = STOP_STATES,
        prompt_tokens: int = 1,
        special_ids: Collection[int] = (),
        held: int = 0,
    ):
        """Compiles the loop and places the parameters.

        Args:
          config: The model's.
          params: Parameters, or a function that returns them, called in parallel with compilation.
          shape: Sizes that are compiled in; fewer resident prompts if memory doesn't hold them.
          token_bytes: The bytes of each token of the vocabulary.
          eos_ids: Tokens that end a text.
          mesh: Devices.
          stop_states: States of all stop automata together; stops that exceed it are checked by
            the host, after each call of the loop.
          prompt_tokens: Length of a prompt to compile for in advance, such as the first one's.
          special_ids: Tokens that no text has.
          held: Bytes of each device that something else takes, such as a trainer.
        """
        shape = fit_to_devices(config, shape, mesh, held=held)
        self.config, self.shape = config, shape
        self._token_bytes = token_bytes
        self._automata = StopAutomata(
            token_bytes, eos_ids=eos_ids, states=stop_states, special_ids=special_ids
        )
        self._table_version = self._automata.version
        self._executor = Executor(
            config, params, shape, mesh, self._automata.table, prompt_tokens=prompt_tokens
        )
        self._prompt_slots = PromptSlots(shape.resident_prompts)
        self._slots = SampleSlots(shape, config.vocab_size)
        self._pending: collections.deque[Request] = collections.deque()  # not yet prefilled
        self._waiting: collections.deque[PendingSample] = collections.deque()  # without a slot
        self._scores: list[tuple[Request, PromptScores]] = []

    @property
    def params(self) -> model.Params:
        """Parameters as a step reads them."""
        return self._executor.params

    def replace_params(self, params: model.Params) -> None:
        """Takes new weights of the same model, and forgets all prompts, which the old ones filled.

        One compiled call converts them on the devices; nothing is compiled again after the first.

        Args:
          params: On the engine's mesh, in any floating dtype; they may be donated afterwards.
        """
        assert self.idle, "requests are in progress"
        self._executor.replace_params(params)
        self._prompt_slots = PromptSlots(self.shape.resident_prompts)

    @property
    def occupancy(self) -> float:
        """Fraction of rows × steps that sampled."""
        return self._executor.occupancy

    @property
    def idle(self) -> bool:
        """Whether every request is finished."""
        return not (self._pending or self._waiting or self._slots.samples or self._scores)

    @property
    def running(self) -> int:
        """Samples in rows."""
        return len(self._slots.samples) - self._slots.queued

    @property
    def waiting(self) -> int:
        """Samples not yet in a row."""
        pending = sum(len(request.samples) for request in self._pending)
        return pending + len(self._waiting) + self._slots.queued

    def submit(self, request: Request) -> None:
        """Queues a request; it starts at one of the next steps.

        Raises:
          InputError: it exceeds the engine's sizes or the model's vocabulary, or a stop is no text.
        """
        longest, limit = self.shape.max_prompt_tokens, self.shape.max_new_tokens
        if not 1 <= len(request.tokens) <= longest:
            raise InputError(
                f"{request.id}: prompt of {len(request.tokens)} tokens; expected 1 to {longest}"
            )
        check_tokens(request.tokens, self.config.vocab_size, where=f"{request.id}: prompt")
        biased = request.sampling_params.logit_bias or ()
        check_tokens(biased, self.config.vocab_size, where=f"{request.id}: logit_bias")
        new = limit if request.max_new_tokens is None else request.max_new_tokens
        if request.samples and not 1 <= new <= limit:
            raise InputError(f"{request.id}: {new} new tokens; expected 1 to {limit}")
        check_stops(request.stops)
        self._check_tail(request)
        self._pending.append(request._replace(max_new_tokens=new))

    def _check_tail(self, request: Request) -> None:
        if not request.healed:
            return
        tail = len(request.tail(self._token_bytes))
        limits = (self.shape.positions - 1, MAX_TAIL, self._automata.longest_tail)
        limit = min(limits) if self.shape.healing else 0
        if not (0 < request.healed < len(request.tokens) and 0 < tail <= limit):
            raise InputError(
                f"{request.id}: {request.healed} of {len(request.tokens)} tokens to spell again, "
                f"with {tail} bytes; expected fewer than all, of at most {limit} bytes"
            )

    def cancel(self, request_id: str, index: int | None = None) -> None:
        """Drops the samples of the requests with this id (or the one with this index)."""

        def matches(sample: PendingSample) -> bool:
            return sample.request.id == request_id and index in (None, sample.sample_index)

        if index is None:
            self._pending = collections.deque(r for r in self._pending if r.id != request_id)
            self._scores = [item for item in self._scores if item[0].id != request_id]
        for sample in [sample for sample in self._waiting if matches(sample)]:
            self._waiting.remove(sample)
            self._release(sample)
        for slot in [slot for slot, sample in self._slots.samples.items() if matches(sample)]:
            self._release(self._slots.remove(slot))

    def step(self, *, steps: int = STEPS) -> list[Sample | PromptLogprobs]:
        """Prefills waiting prompts, samples up to `steps` tokens a row, and returns new output."""
        self._prefill()
        self._fill_queue()
        scores, self._scores = self._scores, []
        if self._slots.samples:
            self._dispatch(steps)
        outputs: list[Sample | PromptLogprobs] = [_to_prompt_logprobs(*item) for item in scores]
        return outputs + (self._collect() if self._slots.samples else [])

    def batches(self, requests: Iterable[Request]) -> Iterator[list[Sample]]:
        """The finished samples of each step, until all requests are finished."""
        source = iter(requests)
        while True:
            while len(self._waiting) < self.shape.queue and len(self._pending) < 2:
                if (request := next(source, None)) is None:
                    break
                self.submit(request)
                self._prefill()
            if self.idle:
                return
            outputs = self.step()
            yield [out for out in outputs if isinstance(out, Sample) and out.finish_reason]

    def run(self, requests: Iterable[Request]) -> Iterator[Sample]:
        """Samples, as they finish."""
        return itertools.chain.from_iterable(self.batches(requests))

    def _prefill(self) -> None:
        """Inserts pending prompts while there are slots; their samples then wait."""
        while self._pending and len(self._waiting) < self.shape.queue:
            request = self._pending[0]
            if request.samples and not self._queue_samples(request):
                return
            if request.echo:
                self._scores.append((request, self._executor.score_prompt(request.tokens)))
            self._pending.popleft()

    def _queue_samples(self, request: Request) -> bool:
        """Makes a prompt resident, and its samples wait; False if there is no space for it."""
        tail, stops = request.tail(self._token_bytes), request.stops
        start = self._automata.acquire(stops, tail, users=len(request.samples))
        if start is None:
            stops = ()
            start = self._automata.acquire(stops, tail, users=len(request.samples))
        if start is None:
            return False
        acquired = self._prompt_slots.acquire(request.context, len(request.samples))
        if acquired is None:
            self._automata.release(stops, tail, users=len(request.samples))
            return False
        slot, is_new = acquired
        if is_new:
            self._executor.insert_prompt(slot, request.context)
        host_stops = request.stops if stops != request.stops else ()
        for index in request.samples:
            self._waiting.append(PendingSample(request, index, slot, start, tail, host_stops))
        return True

    def _fill_queue(self) -> None:
        while self._waiting and self._slots.has_space:
            self._slots.add(self._waiting.popleft())

    def _dispatch(self, steps: int) -> None:
        """Starts a call of the loop."""
        if self._pending and not self._waiting:
            steps = -(-steps // 8)  # all prompt slots are taken and rows may idle: return soon
        if self._table_version != self._automata.version:
            self._executor.set_stop_table(self._automata.table)
            self._table_version = self._automata.version
        self._executor.decode(self._slots.loop_inputs(steps=steps, eager=bool(self._waiting)))

    def _collect(self) -> list[Sample]:
        """New samples and pieces of samples, after a call of the loop."""
        samples = self._slots.samples.values()
        top_logprobs = any(sample.request.want_top_logprobs for sample in samples)
        output = self._executor.read_output(top_logprobs=top_logprobs)
        self._slots.start(output.queue_head)
        results = []
        for slot, sample in self._slots.started():
            size, finish_reason = self._progress(slot, sample, output)
            if finish_reason or (sample.request.stream and size > sample.reported):
                piece = _cut_piece(slot, sample, output, size, finish_reason)
                results.append(_hide_tail(piece, sample, self._token_bytes))
                sample.reported = size
            if finish_reason:
                self._release(self._slots.remove(slot))
        return results

    def _progress(self, slot: int, sample: PendingSample, output: LoopOutput) -> tuple[int, str]:
        """(a sample's tokens so far, its finish reason or "")."""
        size, reason = int(output.length[slot]), output.finish_reason[slot]
        finish_reason = "" if reason == RUNNING else "stop" if reason == STOPPED else "length"
        if sample.host_stops:
            stop = self._find_stop_on_host(output.tokens[slot, :size], sample)
            return (size, finish_reason) if stop is None else (stop, "stop")
        return size, finish_reason

    def _find_stop_on_host(self, tokens: np.ndarray, sample: PendingSample) -> int | None:
        """The number of tokens up to the first complete stop; None without one."""
        text = b""
        for size, token in enumerate(tokens, 1):
            text += self._token_bytes[token]
            if truncate_at_stop(text[len(sample.tail) :], sample.host_stops)[1]:
                return size
        return None

    def _release(self, sample: PendingSample) -> None:
        """Gives back a sample's share of its prompt and stop automaton."""
        self._prompt_slots.release(sample.prompt_slot)
        stops = () if sample.host_stops else sample.request.stops
        self._automata.release(stops, sample.tail)


def _cut_piece(
    slot: int, sample: PendingSample, output: LoopOutput, size: int, finish_reason: str
) -> Sample:
    """The tokens of a sample that have not been returned yet."""
    piece = slice(sample.reported, size)
    top = None
    if sample.request.want_top_logprobs:
        assert output.top_tokens is not None
        assert output.top_logprobs is not None
        top = TopLogprobs(output.top_tokens[slot, piece], output.top_logprobs[slot, piece])
    return Sample(
        sample.request.id,
        sample.sample_index,
        output.tokens[slot, piece],
        output.logprobs[slot, piece],
        finish_reason,
        top,
    )


def _hide_tail(piece: Sample, sample: PendingSample, token_bytes: Sequence[bytes]) -> Sample:
    """A piece without the tokens that end within the prompt's tail, which begin the first piece.

    Their log-probabilities are added to those of the first visible token and its alternatives.
    """
    if sample.reported or not sample.tail:
        return piece
    ends = itertools.accumulate(len(token_bytes[token]) for token in piece.tokens)
    hidden = sum(end <= len(sample.tail) for end in ends)
    logprobs = piece.logprobs[hidden:].copy()
    spent = piece.logprobs[:hidden].sum()
    logprobs[:1] += spent
    spelled = sum(len(token_bytes[token]) for token in piece.tokens[:hidden])
    top = None
    if piece.top:  # alternatives to the first visible token come after the same hidden ones
        top = TopLogprobs(piece.top.tokens[hidden:], piece.top.logprobs[hidden:].copy())
        top.logprobs[:1] += spent
    return piece._replace(
        tokens=piece.tokens[hidden:],
        logprobs=logprobs,
        top=top,
        tail_bytes=len(sample.tail) - spelled,
    )


def _to_prompt_logprobs(request: Request, scores: PromptScores) -> PromptLogprobs:
    last = len(request.tokens) - 1
    logprobs, *top = (x[:last] for x in jax.device_get(scores))
    return PromptLogprobs(request.id, logprobs, TopLogprobs(*top))
