"""The host's half of sampling: requests in, samples out, the device kept supplied.

    engine = Engine(config, params, plan(...), token_bytes=..., eos_id=..., mesh=...)
    engine.submit(Request(name, tokens, ...))    at any time; requests may differ in everything
    for told in engine.step(steps=8):            one call of the compiled loop
        ...                                      Sample (or a piece of one), or Scored
    engine.cancel(name)                          its samples end without another word
    engine.idle                                  whether nothing is left to do

    for samples in engine.batches(requests):     or all of that, for a whole job
        ...                                      the finished Samples of each call

Between two calls of the loop it frees prompts whose samples have all ended, prefills the next ones
into their places, lengthens the queue, and takes what is finished. One thread at a time may use an
engine. A sample depends on (parameters, prompt, policy, seed, index, stops, new) alone.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import InputError, model
from codex_jax.sample.engine import prefill, shardings
from codex_jax.sample.engine.capacity import bucket
from codex_jax.sample.engine.decode import Work, jitted
from codex_jax.sample.engine.prompt_slots import Places
from codex_jax.sample.engine.requests import Request, Sample, Scored, Top, prompt_hash
from codex_jax.sample.engine.state import (
    RUNNING,
    STOPPED,
    Jobs,
    Queue,
    Shape,
    State,
    no_jobs,
    start,
)
from codex_jax.sample.sampling.params import no_adjustments
from codex_jax.sample.sampling.stop_strings import Automata, cut

STEPS = 64  # of one call of the loop
STOP_STATES = 256


@dataclasses.dataclass(eq=False)
class _Running:
    """A sample that waits or runs. `start` is its automaton's; None where the host must look."""

    request: Request
    index: int
    place: int
    start: int | None
    told: int = 0  # tokens already told


class Engine:
    """Runs requests on the device; see above."""

    def __init__(
        self,
        config: model.DecoderConfig,
        params: model.Params | Callable[[], model.Params],
        shape: Shape,
        *,
        token_bytes: Sequence[bytes],
        eos_id: int,
        mesh: Mesh,
        stop_states: int = STOP_STATES,
        prompt: int = 1,
    ):
        """
        Args:
          params: or what gives them, called once the loop is compiled.
          token_bytes: what each token of the vocabulary says.
          stop_states: room for the automata of stop strings; stops that find none are looked for
            by the host, after each call of the loop.
          prompt: tokens of a prompt that is likely the first, made ready for while params come.
        """
        self.config, self.shape = config, shape
        self._token_bytes, self._eos_id = token_bytes, eos_id
        self._kinds = {"dtype": shape.dtype, "cache": shape.cache}
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._automata = Automata(token_bytes, eos_id=eos_id, states=stop_states)
        self._table = self._device_table()
        places = shardings.state_shardings(config, shape, mesh)
        # Each call leaves the state where it found it, so nothing is compiled twice.
        self._decode = jitted(places)
        self._admit = jax.jit(prefill.admit, donate_argnums=0, out_shardings=places)
        self._jobs = no_jobs(shape.slots)
        self._adjustments = no_adjustments(shape.slots, config.vocab_size)
        self._places = Places(shape.prompts)
        self._free_slots = list(range(shape.slots))
        self._pending: collections.deque[Request] = collections.deque()  # not yet prefilled
        self._waiting: collections.deque[_Running] = collections.deque()  # without a slot yet
        self._running: dict[int, _Running] = {}  # by slot, in the device's queue or in a row
        self._queued: list[int] = []  # slots in the device's queue, in order
        self._dropped = np.zeros(shape.slots, bool)
        self._scores: list[tuple[Request, prefill.Scores]] = []
        wanted = shardings.held_shapes(config, shape, mesh)
        begin = jax.jit(start, static_argnums=(0, 1), out_shardings=places)
        if callable(params):
            state = shardings.placed(jax.eval_shape(lambda: start(config, shape)), places)
            with self._compiling(wanted, state):
                self._make_ready(wanted, state, prompt)
                self._state = begin(config, shape)
            params = params()
        else:
            self._state = begin(config, shape)
        self.params = shardings.hold(params, shape, wanted)

    @contextlib.contextmanager
    def _compiling(self, params: model.Params, state: State) -> Iterator[None]:
        """The loop, beside what is done within; of its arguments only the shapes are known."""
        work, table = self._work(steps=0), self._stop_table()
        lowered = self._decode.lower(self.config, self.shape, params, state, table, work)
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            compiled = beside.submit(lowered.compile)
            yield
            compiled.result()

    def _make_ready(self, params: model.Params, state: State, prompt: int) -> None:
        """Compiles what makes a prompt of this length resident."""
        tokens = jax.ShapeDtypeStruct((1, bucket(prompt)), np.int32)
        lowered = prefill.prefill.lower(self.config, params, tokens, np.int32(0), **self._kinds)
        cache = shardings.placed(lowered.out_info, lowered.compile().output_shardings)
        number = np.int32(0)
        self._admit.lower(state, number, cache, number, number, prompt_hash([0])).compile()

    @property
    def occupancy(self) -> float:
        """Share of rows × steps that worked."""
        return float(self._state.busy) / max(1, int(self._state.steps) * self.shape.rows)

    @property
    def idle(self) -> bool:
        """Whether every request is finished."""
        return not (self._pending or self._waiting or self._running or self._scores)

    @property
    def running(self) -> int:
        """Samples that rows work on."""
        return len(self._running) - len(self._queued)

    @property
    def waiting(self) -> int:
        """Samples that no row works on yet."""
        pending = sum(len(request.samples) for request in self._pending)
        return pending + len(self._waiting) + len(self._queued)

    def submit(self, request: Request) -> None:
        """Takes a request in; it begins at one of the next steps.

        Raises:
          InputError: it asks for more than the engine's sizes or the model's vocabulary hold.
        """
        tokens, most = request.tokens, self.shape.new
        if not 1 <= len(tokens) <= self.shape.prefix:
            raise InputError(
                f"{request.name}: prompt of {len(tokens)} tokens; expected 1 to {self.shape.prefix}"
            )
        if not 0 <= min(tokens) <= max(tokens) < self.config.vocab_size:
            wrong = min(tokens) if min(tokens) < 0 else max(tokens)
            raise InputError(
                f"{request.name}: token {wrong} of its prompt is none of the model's "
                f"{self.config.vocab_size}"
            )
        new = most if request.new is None else request.new
        if request.samples and not 1 <= new <= most:
            raise InputError(f"{request.name}: {new} new tokens; expected 1 to {most}")
        self._pending.append(request._replace(new=new))

    def cancel(self, name: str, index: int | None = None) -> None:
        """Ends the samples of the requests of this name (or the one of this index)."""

        def meant(running: _Running) -> bool:
            return running.request.name == name and index in (None, running.index)

        if index is None:
            self._pending = collections.deque(r for r in self._pending if r.name != name)
            self._scores = [(r, found) for r, found in self._scores if r.name != name]
        for running in [running for running in self._waiting if meant(running)]:
            self._waiting.remove(running)
            self._let_go(running)
        for slot in [slot for slot, running in self._running.items() if meant(running)]:
            self._end(slot)

    def step(self, *, steps: int = STEPS) -> list[Sample | Scored]:
        """Admits what waits, makes up to `steps` tokens a row, and tells what is new."""
        self._prefill()
        self._fill_queue()
        scores, self._scores = self._scores, []
        if self._running:
            self._dispatch(steps)
        found: list[Sample | Scored] = [self._scored(*score) for score in scores]
        return found + (self._collect() if self._running else [])

    def batches(self, requests: Iterable[Request]) -> Iterator[list[Sample]]:
        """The finished samples of each step, until all requests are."""
        source = iter(requests)
        while True:
            while len(self._waiting) < self.shape.queue and len(self._pending) < 2:
                if (request := next(source, None)) is None:
                    break
                self.submit(request)
                self._prefill()
            if self.idle:
                return
            yield [told for told in self.step() if isinstance(told, Sample) and told.reason]

    def run(self, requests: Iterable[Request]) -> Iterator[Sample]:
        """Samples, as they finish."""
        return itertools.chain.from_iterable(self.batches(requests))

    def _prefill(self) -> None:
        """Makes pending prompts resident while there are places, and their samples wait."""
        while self._pending and len(self._waiting) < self.shape.queue:
            request = self._pending[0]
            place = 0
            if request.samples:
                found = self._places.take(request.tokens, len(request.samples))
                if found is None:
                    return
                place, fresh = found
                if fresh:
                    self._make_resident(place, request.tokens)
            if request.echo:
                self._scores.append((request, self._on_device(prefill.score, request.tokens)))
            self._pending.popleft()
            for index in request.samples:
                start = self._automata.hold(request.stops)
                self._waiting.append(_Running(request, index, place, start))

    def _make_resident(self, place: int, tokens: Sequence[int]) -> None:
        length, last = np.int32(len(tokens) - 1), np.int32(tokens[-1])
        cache = self._on_device(prefill.prefill, tokens)
        self._state = self._admit(
            self._state, np.int32(place), cache, length, last, prompt_hash(tokens)
        )

    def _on_device(self, function, tokens: Sequence[int]):
        padded = np.zeros((1, bucket(len(tokens))), np.int32)
        padded[0, : len(tokens)] = tokens
        length = np.int32(len(tokens))
        return function(self.config, self.params, padded, length, **self._kinds)

    def _fill_queue(self) -> None:
        """Gives slots to what waits."""
        while self._waiting and len(self._queued) < self.shape.queue and self._free_slots:
            slot, running = self._free_slots.pop(), self._waiting.popleft()
            self._running[slot] = running
            self._queued.append(slot)
            self._dropped[slot] = True
            request, policy = running.request, running.request.policy
            job = Jobs(
                prompt=running.place,
                sample=running.index,
                seed=request.seed % (1 << 32),
                new=request.new,
                stop=running.start or 0,
                temperature=policy.temperature,
                top_k=policy.top_k,
                min_p=policy.min_p,
                top_p=policy.top_p,
            )
            for array, value in zip(self._jobs, job, strict=True):
                array[slot] = value
            self._adjust(slot, policy)

    def _adjust(self, slot: int, policy) -> None:
        presence, frequency, token, bias = self._adjustments
        presence[slot], frequency[slot] = policy.presence_penalty, policy.frequency_penalty
        token[slot] = self.config.vocab_size
        wanted = policy.logit_bias or {}
        token[slot, : len(wanted)], bias[slot, : len(wanted)] = list(wanted), list(wanted.values())

    def _dispatch(self, steps: int) -> None:
        """One call of the loop."""
        if self._pending and not self._waiting:
            steps = -(-steps // 8)  # all places are taken and rows may idle: look again soon
        work, table = self._work(steps), self._stop_table()
        self._state = self._decode(self.config, self.shape, self.params, self._state, table, work)

    def _work(self, steps: int) -> Work:
        queue = np.zeros(self.shape.queue, np.int32)
        queue[: len(self._queued)] = self._queued
        adjusted = any(r.request.policy.adjusts or r.request.top for r in self._running.values())
        return Work(
            self._jobs,
            Queue(queue, np.int32(0), np.int32(len(self._queued))),
            self._dropped,
            np.int32(steps),
            np.bool_(bool(self._waiting)),
            self._adjustments if adjusted else None,
        )

    def _stop_table(self) -> jax.Array:
        if self._automata.changed:
            self._automata.changed = False
            self._table = self._device_table()
        return self._table

    def _device_table(self) -> jax.Array:
        return jax.device_put(self._automata.table.copy(), self._whole)

    def _collect(self) -> list[Sample]:
        """What the last call of the loop has made."""
        output = self._state.output
        wanted = [output.tokens, output.logprobs, output.length, output.reason]
        if any(running.request.top for running in self._running.values()):
            wanted += [output.top, output.top_logprobs]
        head, (tokens, logprobs, length, reason, *top) = jax.device_get(
            (self._state.queue.head, wanted)
        )
        self._dropped[:] = False
        self._queued = self._queued[int(head) :]
        unstarted = set(self._queued)
        found = []
        for slot, running in [item for item in self._running.items() if item[0] not in unstarted]:
            size = int(length[slot])
            over = "" if reason[slot] == RUNNING else "length"
            over = "stop" if reason[slot] == STOPPED else over
            if running.start is None:
                size, over = self._look(running, tokens[slot, :size], over)
            piece = slice(running.told, size)
            if over or (running.request.stream and size > running.told):
                likely = Top(*(x[slot, piece] for x in top)) if running.request.top else None
                sample = Sample(
                    running.request.name,
                    running.index,
                    tokens[slot, piece],
                    logprobs[slot, piece],
                    over,
                    likely,
                )
                found.append(sample)
                running.told = size
            if over:
                self._end(slot)
        return found

    def _look(self, running: _Running, tokens: np.ndarray, over: str) -> tuple[int, str]:
        """(tokens up to a stop that the device had no automaton for, why the sample ended)."""
        said = b""
        for size, token in enumerate(tokens, 1):
            said += self._token_bytes[token]
            if cut(said, running.request.stops)[1]:
                return size, "stop"
        return len(tokens), over

    def _end(self, slot: int) -> None:
        """Frees a slot; a row that still works on it is told at the next call."""
        self._let_go(self._running.pop(slot))
        if slot in self._queued:
            self._queued.remove(slot)
        self._dropped[slot] = True
        self._free_slots.append(slot)

    def _let_go(self, running: _Running) -> None:
        self._places.leave(running.place)
        if running.start is not None:
            self._automata.release(running.request.stops)

    def _scored(self, request: Request, scores: prefill.Scores) -> Scored:
        last = len(request.tokens) - 1
        logprobs, *top = (x[:last] for x in jax.device_get(scores))
        return Scored(request.name, logprobs, Top(*top))
