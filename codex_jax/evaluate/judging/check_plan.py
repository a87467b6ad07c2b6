"""A problem made ready for judging: its test compiled, the calls it will make foreseen."""

import contextlib
import copy
import json
import random
import resource
import signal
import time
from _blake2 import blake2b  # hashlib would load all of OpenSSL
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from codex_jax.evaluate.judging import call_results, oracles
from codex_jax.evaluate.problems import mbpp_plus
from codex_jax.evaluate.sandbox.guest import program, value_codec
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import Cause

if TYPE_CHECKING:  # loads numpy, whose start-up each judge process would pay for
    from codex_jax import records

_SLOWER = 4  # than the reference a program may be on HumanEval+'s inputs
_JUDGE_BYTES = 6 << 30  # whatever values a program makes its test work on
_REMEMBERED = 10_000  # verdicts on different answers, a problem
_FORESIGHT_CPU_S = 0.005  # a test whose reference takes longer is asked live the first time


class Diverged(BaseException):
    """The test asked for a call that wasn't foreseen."""


class NotPlainData(BaseException):
    """The test passes something that can't be sent into the sandbox."""


class JudgeTired(BaseException):
    """check() itself has used up its time on the answers."""


class Plan:
    """One problem: what the sandbox is told of it, and check()."""

    def __init__(self, problem: "records.Problem"):
        self.entry_point = problem.entry_point
        self.setup = _setup_code(problem)
        self.test = compile(problem.test, "test", "exec", dont_inherit=True)
        self.cases: list[tuple[list, Any]] | None = None
        self.calls: list[str] = []
        self.complete = False  # whether these are all, for a program that answers right
        self.least_cpu_s, self.least_answer_mb = 0.0, 0
        self._verdicts: dict[bytes, tuple[Cause, str]] = {}
        if "plus_input" in problem.extra:
            self._answer_inputs(problem)
        elif problem.canonical_solution:
            self._foresee()

    def check(self, candidate: Callable) -> None:
        """Runs the test on `candidate`, in a world of its own."""
        world = self._world()
        if self.cases is not None:
            return oracles.check(candidate, self.oracle, self.cases, self.tolerance)
        self._test_in(world, candidate)

    def _world(self) -> dict[str, Any]:
        world: dict[str, Any] = {"__name__": "judge"}
        if self.setup is not None:
            exec(self.setup, world)
        return world

    def _test_in(self, world: dict[str, Any], candidate: Callable) -> None:
        random.seed(0)  # tests that draw inputs must draw the same ones again
        world[self.entry_point] = candidate
        exec(self.test, world)
        if "check" in world:
            world["check"](candidate)

    def _answer_inputs(self, problem: "records.Problem") -> None:
        """HumanEval+: what the reference says to each input, and what a program needs for it."""
        self.tolerance = float(problem.extra.get("atol", 0))
        self.oracle = problem.extra.get("oracle", self.entry_point)
        inputs = mbpp_plus.call_arguments(problem.extra)
        self.calls = [encode_call(tuple(given), {}) for given in inputs]
        self.complete = True
        reference = self._world()[self.entry_point]
        start = time.process_time()
        self.cases = [(given, reference(*copy.deepcopy(given))) for given in inputs]
        self.least_cpu_s = _SLOWER * (time.process_time() - start)
        size = sum(len(json.dumps(value_codec.encode(answer))) for _, answer in self.cases)
        self.least_answer_mb = 2 * size >> 20

    def limits(self, given: Limits) -> Limits:
        """The limits given, or wider ones where the reference itself needs them."""
        return given._replace(
            cpu_s=max(given.cpu_s, self.least_cpu_s),
            answer_mb=max(given.answer_mb, self.least_answer_mb),
        )

    def _foresee(self) -> None:
        """Asks the reference, as if it answered from the sandbox. Where it fails its own test or
        takes long, the calls up to there are known, and the rest is learnt from the first
        program that passes.
        """
        lines: list[dict] = [{"ready": True}]
        told = (Exception, JudgeTired, call_results.ProgramEnded)
        with contextlib.suppress(*told), patience(_FORESIGHT_CPU_S):
            world = self._world()
            self._test_in(world, self._recorder(world[self.entry_point], lines))
            self.complete = True
        if self.complete:
            answered = "".join(json.dumps(line) + "\n" for line in lines)
            self.remember(answered.encode(), (Cause.PASSED, ""))

    def _recorder(self, reference: Callable, lines: list[dict]) -> Callable:
        def candidate(*arguments: Any, **named: Any) -> Any:
            call = encode_call(arguments, named)
            self.calls.append(call)
            lines.append(program.outcome(reference, call))
            return call_results.understood(lines[-1], arguments)

        return candidate

    def learn(self, calls: list[str]) -> None:
        """What a program that passed was asked for will be asked of the next ones."""
        self.calls, self.complete = calls, True

    def verdict_on(self, answered: bytes) -> tuple[Cause, str] | None:
        """What check() said of these answers before, if it has been asked."""
        return self._verdicts.get(_digest(answered))

    def remember(self, answered: bytes, verdict: tuple[Cause, str]) -> None:
        if len(self._verdicts) < _REMEMBERED:
            self._verdicts[_digest(answered)] = verdict


def _digest(answered: bytes) -> bytes:
    return blake2b(answered, digest_size=16).digest()


def _setup_code(problem: "records.Problem") -> Any:
    """The prompt's own definitions (imports and helpers that tests use), reference included."""
    suffix = problem.extra.get("suffix", "")
    bodies = [problem.canonical_solution] if problem.canonical_solution else ["    pass\n", ""]
    for body in bodies:
        with contextlib.suppress(SyntaxError):
            return compile(problem.prompt + body + suffix, "prompt", "exec", dont_inherit=True)
    return None


def encode_call(arguments: tuple, named: dict) -> str:
    """One call as a line of JSON."""
    try:
        plain = [
            value_codec.encode(list(arguments), strict=True),
            value_codec.encode(named, strict=True),
        ]
    except TypeError as error:
        raise NotPlainData(str(error)) from None
    return json.dumps(plain)


@contextlib.contextmanager
def patience(cpu_s: float) -> Iterator[None]:
    """Raises JudgeTired after so many CPU seconds of this process, and bounds its memory."""

    def tired(*_: object) -> None:
        raise JudgeTired

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (_bounded(_JUDGE_BYTES, hard), hard))
    previous = signal.signal(signal.SIGPROF, tired)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # a sandbox may need more


def _bounded(amount: int, hard: int) -> int:
    return amount if hard == resource.RLIM_INFINITY else min(amount, hard)
