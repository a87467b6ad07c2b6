"""The host's half of sampling: prompts in, samples out, the device kept supplied.

Between two calls of the compiled loop it frees prompts whose samples have all ended, prefills the
next ones into their places, lengthens the queue, and takes what is finished.
"""

import collections
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import model
from codex_jax.sample import decode, placement
from codex_jax.sample.policy import Policy
from codex_jax.sample.stops import FOUND

_STEPS = 64  # of one call of the loop
_BUCKET = 64  # prompts are prefilled in lengths of this times a power of two


class Request(NamedTuple):
    """Some samples of one prompt."""

    name: str
    tokens: Sequence[int]
    samples: Sequence[int]  # their indices


class Sample(NamedTuple):
    """One finished sample."""

    name: str
    index: int
    tokens: np.ndarray  # int32, the ending one included
    logprobs: np.ndarray  # float32, raw, in nats
    stopped: bool  # by a stop or end of text, rather than by its length


class Running(NamedTuple):
    """A sample that waits or runs: which request's, which index, and at which place it lies."""

    request: Request
    index: int
    place: int


def prompt_hash(tokens: Sequence[int]) -> np.uint32:
    """Half of what a sample's key is made of."""
    digest = hashlib.sha256(np.asarray(tokens, np.int32).tobytes()).digest()
    return np.uint32(int.from_bytes(digest[:4], "little"))


def bucket(length: int) -> int:
    """The length to which a prompt of `length` tokens is padded."""
    return max(_BUCKET, 1 << (length - 1).bit_length())


def plan(
    *, longest: int, samples: int, rows: int, new: int, top_k: int = 0, dtype: str = "float32"
) -> decode.Shape:
    """Sizes for a job: room for twice the prompts that fill the rows.

    Args:
      longest: tokens of the longest prompt.
      samples: most samples of a prompt.
    """
    tile = min(8, 1 << (samples - 1).bit_length())
    return decode.Shape(
        rows=rows,
        prompts=2 * -(-rows // samples) + 4,
        prefix=bucket(longest),
        new=new,
        tile=tile,
        queue=max(4 * rows, samples),
        top_k=top_k,
        dtype=dtype,
    )


class Engine:
    """Runs requests; parameters and sizes stand, everything else may change between runs.

    `drained` tells, after each sample of `run`, whether it is the last before the device works on.
    """

    def __init__(
        self,
        config: model.DecoderConfig,
        params: model.Params,
        shape: decode.Shape,
        *,
        stop_table: np.ndarray,
        eos_id: int,
        mesh: Mesh,
    ):
        self.config, self.shape = config, shape
        self.drained = False
        self.params = jax.jit(lambda p: {**p, "blocks": model.split(p["blocks"])})(params)
        whole = NamedSharding(mesh, PartitionSpec())
        table = stop_table.copy()
        table[:, eos_id] = FOUND
        self._table = jax.device_put(table, whole)
        places = placement.state_shardings(config, shape, mesh)
        self._state = jax.jit(decode.start, static_argnums=(0, 1), out_shardings=places)(
            config, shape
        )
        # Each call leaves the state where it found it, so nothing is compiled twice.
        self._decode = jax.jit(
            decode.decode, static_argnums=(0, 1), donate_argnums=3, out_shardings=places
        )
        self._admit_on_device = jax.jit(decode.admit, donate_argnums=0, out_shardings=places)
        self._enqueue_on_device = jax.jit(decode.enqueue, donate_argnums=0, out_shardings=places)

    @property
    def occupancy(self) -> float:
        """Share of rows × steps that worked."""
        return float(self._state.busy) / max(1, int(self._state.steps) * self.shape.rows)

    def run(self, requests: Iterable[Request], *, policy: Policy, seed: int) -> Iterator[Sample]:
        """Samples, as they finish."""
        knobs, seed = policy.arrays(), np.uint32(seed % (1 << 32))
        source = iter(requests)
        upcoming = next(source, None)
        free_places = list(range(self.shape.prompts))
        free_slots = list(range(self.shape.slots))
        waiting: collections.deque[Running] = collections.deque()
        left: dict[int, int] = {}  # samples of the prompt at a place that haven't finished
        out: dict[int, Running] = {}
        queued: list[int] = []  # slots on the device's queue, in order
        while upcoming or waiting or out:
            while upcoming and free_places and len(waiting) < self.shape.queue:
                place = free_places.pop()
                self._admit(place, upcoming.tokens)
                left[place] = len(upcoming.samples)
                waiting.extend(Running(upcoming, index, place) for index in upcoming.samples)
                upcoming = next(source, None)
            while waiting and len(queued) < self.shape.queue and free_slots:
                slot = free_slots.pop()
                out[slot] = waiting.popleft()
                queued.append(slot)
            self._enqueue([(out[slot], slot) for slot in queued])
            # Where no prompt's place is free, rows may idle: look again soon.
            steps = _STEPS if waiting or not upcoming else _STEPS // 8
            limits = np.array([steps, self.shape.new, bool(waiting)], np.int32)
            self._state = self._decode(
                self.config, self.shape, self.params, self._state, self._table, knobs, seed, limits
            )
            output, head = jax.device_get((self._state.output, self._state.queue.head))
            queued = queued[int(head) :]
            unstarted = set(queued)
            finished = [s for s in out if s not in unstarted and output.reason[s]]
            for slot in finished:
                self.drained = slot == finished[-1]
                running = out.pop(slot)
                free_slots.append(slot)
                left[running.place] -= 1
                if not left[running.place]:
                    free_places.append(running.place)
                size = output.length[slot]
                yield Sample(
                    running.request.name,
                    running.index,
                    output.tokens[slot, :size],
                    output.logprobs[slot, :size],
                    bool(output.reason[slot] == decode.STOPPED),
                )

    def _admit(self, place: int, tokens: Sequence[int]) -> None:
        size = bucket(len(tokens))
        padded = np.zeros((1, size), np.int32)
        padded[0, : len(tokens)] = tokens
        length = np.int32(len(tokens) - 1)
        cache = decode.prefill(self.config, self.params, padded, length, dtype=self.shape.dtype)
        self._state = self._admit_on_device(
            self._state, np.int32(place), cache, length, np.int32(tokens[-1]), prompt_hash(tokens)
        )

    def _enqueue(self, items: list[tuple[Running, int]]) -> None:
        arrays = np.zeros((3, self.shape.queue), np.int32)
        for column, (running, slot) in enumerate(items):
            arrays[:, column] = running.place, running.index, slot
        queue = decode.Queue(*arrays, np.int32(0), np.int32(len(items)))
        self._state = self._enqueue_on_device(self._state, queue)
