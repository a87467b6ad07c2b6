"""The thread that runs the engine; other threads submit requests to it and receive outputs."""

import queue
import threading
from collections.abc import Callable, Sequence

from codex_jax import InputError
from codex_jax.sample.engine.capacity import bucket
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import PromptLogprobs, Request, Sample
from codex_jax.sample.sampling.params import SamplingParams

EngineOutput = Sample | PromptLogprobs | Exception

_STEPS = 8  # tokens a row between two outputs: short, for smooth streams


class EngineThread:
    """Runs an engine in a thread of its own, from `start` to `close`, or in a `with` block.

    `submit`, `cancel` and `close` may be called from any thread. Outputs of a request are passed to
    its listener on the engine's thread.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._listeners: dict[str, Callable[[EngineOutput], object]] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._on_failure: Callable[[], None] = lambda: None
        self.ready = threading.Event()  # every program is compiled
        self.failure: Exception | None = None  # the exception that ended the thread early

    def start(self) -> None:
        """Starts the thread, which compiles first."""
        self._thread.start()

    def __enter__(self) -> "EngineThread":  # noqa: PYI034 - beartype checks no Self in a hook
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def on_failure(self, callback: Callable[[], None]) -> None:
        """Registers a callback for the engine's failure; it may run on any thread."""
        self._on_failure = callback
        if self.failure:
            callback()

    def submit(
        self, requests: Sequence[Request], listener: Callable[[EngineOutput], object]
    ) -> None:
        """Submits requests; the listener receives their outputs, or an InputError."""

        def submit_all():
            for request in requests:
                try:
                    self._engine.submit(request)
                except InputError as error:
                    listener(error)

        self._listeners |= {request.id: listener for request in requests}
        self._inbox.put(submit_all)
        if self.failure:  # the failing thread may have missed this listener
            listener(self.failure)

    def cancel(self, request_ids: Sequence[str]) -> None:
        """Drops requests, finished or not; their listeners receive nothing more."""

        def cancel_all():
            for request_id in request_ids:
                if self._listeners.pop(request_id, None):
                    self._engine.cancel(request_id)

        self._inbox.put(cancel_all)

    def close(self) -> None:
        """Ends the thread once all submitted requests are finished."""
        self._inbox.put(None)
        self._thread.join()

    @property
    def load(self) -> tuple[int, int]:
        """(samples in rows, samples that wait)."""
        return self._engine.running, self._engine.waiting

    def _run(self) -> None:
        try:
            self._warm_up()
            self.ready.set()
            while not (self._closing and self._engine.idle):
                self._process_inbox()
                self._step()
        except Exception as error:  # noqa: BLE001 - every listener must learn of any failure
            self.failure = error
            for listener in list(self._listeners.values()):
                listener(error)
            self._on_failure()

    def _process_inbox(self) -> None:
        """Runs the inbox's actions; waits for one if the engine is idle."""
        while not self._inbox.empty() or (self._engine.idle and not self._closing):
            if (action := self._inbox.get()) is None:
                self._closing = True
            else:
                action()

    def _step(self) -> None:
        for output in self._engine.step(steps=_STEPS):
            if listener := self._listeners.get(output.request_id):
                listener(output)

    def _warm_up(self) -> None:
        """Compiles for any request: each bucket, with and without top log-probabilities."""
        greedy = SamplingParams(temperature=0.0)
        longest = self._engine.shape.max_prompt_tokens
        sizes = {min(bucket(1) << n, longest) for n in range(longest.bit_length())}
        for top in (False, True):  # one after the other: together they would run as one program
            for size in sorted(sizes):
                request = Request(f"warm-up {size} {top}", [1] * size, sampling_params=greedy)
                self._engine.submit(
                    request._replace(max_new_tokens=1, want_top_logprobs=top, echo=top)
                )
            while not self._engine.idle:
                self._engine.step(steps=_STEPS)
