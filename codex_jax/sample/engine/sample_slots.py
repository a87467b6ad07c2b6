"""Output slots of the samples on the device, and the loop's inputs that describe them."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from codex_jax.sample.engine.requests import Request, fold_seed
from codex_jax.sample.engine.state import (
    EngineShape,
    LoopInputs,
    Queue,
    empty_slot_params,
)
from codex_jax.sample.sampling.params import SamplingParams, empty_adjustments


@dataclasses.dataclass(eq=False)
class PendingSample:
    """A sample that waits or runs.

    Attributes:
      request: Its request.
      sample_index: Its index among the prompt's samples.
      prompt_slot: The slot of its prompt.
      stop_state: The start state of its automaton.
      tail: Bytes of the prompt that it spells first.
      host_stops: Stop strings that the host must check for, as the automaton doesn't.
      reported: Tokens that have been returned.
    """

    request: Request
    sample_index: int
    prompt_slot: int
    stop_state: int
    tail: bytes = b""
    host_stops: Sequence[str] = ()
    reported: int = 0


class SampleSlots:
    """Samples by output slot: in the device's queue or in a row."""

    def __init__(self, shape: EngineShape, vocab_size: int):
        self._queue_size, self._vocab_size = shape.queue, vocab_size
        self._params = empty_slot_params(shape.output_slots)
        self._adjustments = empty_adjustments(shape.output_slots, vocab_size)
        self._dropped = np.zeros(shape.output_slots, bool)
        self._free = list(range(shape.output_slots))
        self._queued: list[int] = []  # slots in the device's queue, in order
        self.samples: dict[int, PendingSample] = {}

    @property
    def queued(self) -> int:
        """Samples in the device's queue."""
        return len(self._queued)

    @property
    def has_space(self) -> bool:
        """Whether another sample can be added."""
        return bool(self._free) and len(self._queued) < self._queue_size

    def add(self, sample: PendingSample) -> None:
        """Queues a sample; requires `has_space`."""
        slot = self._free.pop()
        self.samples[slot] = sample
        self._queued.append(slot)
        self._dropped[slot] = True
        request, params = sample.request, sample.request.sampling_params
        values = {
            "prompt": sample.prompt_slot,
            "sample_index": sample.sample_index,
            "seed": fold_seed(request.seed, sample.tail),
            "max_new_tokens": request.max_new_tokens,
            "stop_state": sample.stop_state,
            "tail": len(sample.tail),
            "temperature": params.temperature,
            "top_k": params.top_k,
            "min_p": params.min_p,
            "top_p": params.top_p,
        }
        for name, array in self._params._asdict().items():
            array[slot] = values[name]
        self._set_adjustments(slot, params)

    def _set_adjustments(self, slot: int, params: SamplingParams) -> None:
        presence, frequency, token, bias = self._adjustments
        presence[slot], frequency[slot] = params.presence_penalty, params.frequency_penalty
        biases = params.logit_bias or {}
        token[slot] = self._vocab_size
        token[slot, : len(biases)], bias[slot, : len(biases)] = list(biases), list(biases.values())

    def remove(self, slot: int) -> PendingSample:
        """Frees a slot; a row that still works on it stops at the next call of the loop."""
        if slot in self._queued:
            self._queued.remove(slot)
        self._dropped[slot] = True
        self._free.append(slot)
        return self.samples.pop(slot)

    def start(self, count: int) -> None:
        """Removes the first `count` samples from the queue: the loop has started them."""
        self._dropped[:] = False
        self._queued = self._queued[count:]

    def started(self) -> Iterator[tuple[int, PendingSample]]:
        """Samples that a row has worked on, by slot."""
        queued = set(self._queued)
        yield from [item for item in self.samples.items() if item[0] not in queued]

    def loop_inputs(self, *, steps: int, eager: bool) -> LoopInputs:
        """The next call's inputs."""
        queue = np.zeros(self._queue_size, np.int32)
        queue[: len(self._queued)] = self._queued
        requests = [sample.request for sample in self.samples.values()]
        has_adjustments = any(
            request.sampling_params.has_adjustments or request.want_top_logprobs
            for request in requests
        )
        bounds = np.int32(0), np.int32(len(self._queued))
        adjustments = self._adjustments if has_adjustments else None
        inputs = (self._params, Queue._make((queue, *bounds)), self._dropped)
        return LoopInputs._make((*inputs, np.int32(steps), np.bool_(eager), adjustments))
