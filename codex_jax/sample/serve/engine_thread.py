"""The thread that runs the engine. Everybody else asks it to, and is told."""

import queue
import threading
from collections.abc import Callable, Sequence

from codex_jax import InputError
from codex_jax.sample.engine.capacity import bucket
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request, Sample, Scored
from codex_jax.sample.sampling.params import Policy

Told = Sample | Scored | Exception

_STEPS = 8  # tokens a row between two looks at what is new: short, for smooth streams


class Driver:
    """Runs an engine in a thread of its own.

    `ask`, `cancel` and `close` may be called from any thread. What is told of a request comes to
    its listener on the engine's thread.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._listeners: dict[str, Callable[[Told], None]] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._on_failure: Callable[[], None] = lambda: None
        self.ready = threading.Event()  # every program is compiled
        self.failure: Exception | None = None  # what ended the thread before its time

    def start(self) -> None:
        self._thread.start()

    def on_failure(self, call: Callable[[], None]) -> None:
        """Has `call` called, on whichever thread, once the engine has failed and all were told."""
        self._on_failure = call
        if self.failure:
            call()

    def ask(self, requests: Sequence[Request], listener: Callable[[Told], None]) -> None:
        """Submits requests; the listener gets all that is told of them, or the refusal."""

        def submit():
            for request in requests:
                try:
                    self._engine.submit(request)
                except InputError as error:
                    listener(error)

        self._listeners |= {request.name: listener for request in requests}
        self._inbox.put(submit)
        if self.failure:  # whoever comes now is on no list of the thread's last words
            listener(self.failure)

    def cancel(self, names: Sequence[str]) -> None:
        """Ends requests, finished or not; nothing more is told of them."""

        def end():
            for name in names:
                if self._listeners.pop(name, None):
                    self._engine.cancel(name)

        self._inbox.put(end)

    def close(self) -> None:
        """Ends the thread once all that was asked is done."""
        self._inbox.put(None)
        self._thread.join()

    @property
    def load(self) -> tuple[int, int]:
        """(samples that rows work on, samples that wait)."""
        return self._engine.running, self._engine.waiting

    def _run(self) -> None:
        try:
            self._warm_up()
            self.ready.set()
            while not (self._closing and self._engine.idle):
                self._take()
                self._step()
        except Exception as error:  # whatever it was, everybody who waits must hear of it
            self.failure = error
            for listener in list(self._listeners.values()):
                listener(error)
            self._on_failure()

    def _take(self) -> None:
        """Does what the inbox says; waits for it where there is nothing else to do."""
        while not self._inbox.empty() or (self._engine.idle and not self._closing):
            if (action := self._inbox.get()) is None:
                self._closing = True
            else:
                action()

    def _step(self) -> None:
        for told in self._engine.step(steps=_STEPS):
            if listener := self._listeners.get(told.name):
                listener(told)

    def _warm_up(self) -> None:
        """Compiles what any request can want: each bucket, with and without likely tokens."""
        greedy = Policy(temperature=0.0)
        for top in (False, True):  # one after the other: together they'd run as one program
            size = bucket(1)
            while size <= self._engine.shape.prefix:
                name = f"warm-up {size} {top}"
                self._engine.submit(
                    Request(name, [1] * size, policy=greedy, new=1, top=top, echo=top)
                )
                size *= 2
            while not self._engine.idle:
                self._engine.step(steps=_STEPS)
