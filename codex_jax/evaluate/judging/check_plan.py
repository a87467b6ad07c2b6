"""A problem prepared for judging: its compiled test, and the calls that the test will make."""

import ast
import contextlib
import copy
import importlib
import json
import math
import pathlib
import random
import re
import resource
import signal
import symtable
import sys
import time
import types
from _blake2 import blake2b  # hashlib would load all of OpenSSL
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from codex_jax import InputError
from codex_jax.evaluate.judging import call_results, oracles
from codex_jax.evaluate.problems import mbpp_plus
from codex_jax.evaluate.sandbox.guest import compiler, value_codec
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import Cause

if TYPE_CHECKING:  # loads numpy, whose start-up each judge process would pay for
    from codex_jax import records

_SLOWDOWN = 4  # times the reference's CPU seconds that a program has on HumanEval+'s inputs
_JUDGE_BYTES = 6 << 30  # of memory, whatever values a test works on
_CACHED_VERDICTS = 10_000  # of one problem
_LARGE = 1 << 21  # items of an answer: inputs that have larger ones (5 of Mbpp/255's) are left out
_KILL_CPU_S = 10.0  # for a reference that loops in C
_ANSWERS_CPU_S = 120.0  # for the reference's answers to all inputs of HumanEval+
_REFERENCE_CPU_S = 0.005  # if a reference takes longer, the first program is called live
_ONE_IMPORT = re.compile(r"\s*(?:import|from) ([\w.]+)(?: import ([\w, ]+))?$")
_STATM = pathlib.Path("/proc/self/statm")
_NOT_COMPILED = (SyntaxError, ValueError, RecursionError, MemoryError)  # the last two: too deep
_AGAIN_S = 0.001  # of CPU time, after which a limit that couldn't stop the code tries again
_TICKS_CLOCK = -8  # CPUCLOCK_PROF of the calling process, by the numbering of clock_gettime(2)


class UnexpectedCall(BaseException):
    """The test made a call that is not the next one of its plan."""


class CheckTimeout(BaseException):
    """check() itself has used up its CPU time on the answers."""


class CheckPlan:
    """The compiled test of one problem and the calls it will make."""

    shares_arguments = True  # whether programs are told which arguments are one object

    def __init__(self, problem: "records.Problem | types.SimpleNamespace"):
        self.entry_point = problem.entry_point
        setup, self.setup = _compile_setup(problem)
        try:
            self.test = compile(problem.test, "test", "exec", dont_inherit=True)
        except _NOT_COMPILED as error:
            reason = str(error) or "nested too deep"
            raise InputError(f"its test doesn't parse ({reason})") from None
        for text in (setup, problem.test):
            _import_names(text)
        self.defines_check = _has_code("check", self.test) or defines_check(problem.test)
        self.cases: list[tuple[list, Any]] | None = None
        self.calls: list[str] = []
        self.complete = False  # whether these are all calls to a program that answers right
        self.least_cpu_s, self.least_answer_mb = 0.0, 0
        self._classes: dict[str, Any] = {}  # the test's namespace, which has the prompt's classes
        self._verdicts: dict[bytes, tuple[Cause, str]] = {}
        if "plus_input" in problem.extra:
            self._answer_inputs(problem)
        elif problem.canonical_solution:
            self._record_reference_calls()
        else:
            self._encode_first_call()

    def check(self, candidate: Callable) -> None:
        """Runs the test on `candidate`, in a namespace of its own."""
        if self.cases is not None:
            for cases in (self.cases[: self.base_count], self.cases[self.base_count :]):
                oracles.check_outputs(candidate, self.oracle, cases, self.tolerance)
        else:
            self._run_test(self._namespace(), candidate)

    def _namespace(self) -> dict[str, Any]:
        namespace: dict[str, Any] = {"__name__": "judge"}
        if self.setup is not None:
            exec(self.setup, namespace)
        return namespace

    def _run_test(self, namespace: dict[str, Any], candidate: Callable) -> None:
        self._classes = namespace
        random.seed(0)  # tests that draw inputs draw the same ones each time
        namespace[self.entry_point] = candidate
        exec(self.test, namespace)
        if self.defines_check:  # a program's own function may have that name: Mbpp/56
            namespace["check"](candidate)

    def _answer_inputs(self, problem: "records.Problem | types.SimpleNamespace") -> None:
        """Records the reference's answer to each input of HumanEval+, and the limits it needs."""
        self.tolerance = float(problem.extra.get("atol", 0))
        self.oracle = problem.extra.get("oracle", self.entry_point)
        base, start = len(problem.extra.get("base_input") or ()), time.process_time()
        reference, self.base_count, size = self._namespace()[self.entry_point], 0, 0
        self.cases = []
        with cpu_time_limit(_ANSWERS_CPU_S):
            for index, arguments in enumerate(mbpp_plus.call_arguments(problem.extra)):
                answer = reference(*copy.deepcopy(arguments))
                if not _is_large(answer):
                    self.cases.append((arguments, answer))
                    self.base_count += index < base
                    size += len(json.dumps(value_codec.encode(answer)))
        self.least_cpu_s = _SLOWDOWN * (time.process_time() - start)
        self.least_answer_mb = 2 * size >> 20
        self.calls = [call_results.encode_call(tuple(a), {})[0] for a, _ in self.cases]
        self.complete = True
        if self.tolerance or any(oracles.is_floats(answer) for _, answer in self.cases):
            importlib.import_module("numpy")  # compares them, when a clock runs

    def limits(self, limits: Limits) -> Limits:
        """Returns the limits, widened to what the reference itself needs."""
        return limits._replace(
            cpu_s=max(limits.cpu_s, self.least_cpu_s),
            answer_mb=max(limits.answer_mb, self.least_answer_mb),
        )

    def _record_reference_calls(self) -> None:
        """Runs the test on the reference, as if it answered from the sandbox.

        If it fails its own test or takes long, the calls up to there are known, and the rest is
        recorded with the first program that passes. Its verdict doesn't count: it shares this
        process with the test, which may see more of it than answers.
        """
        errors = (Exception, CheckTimeout, call_results.ProgramExited)
        with contextlib.suppress(*errors), cpu_time_limit(_REFERENCE_CPU_S, _KILL_CPU_S):
            namespace, name = self._namespace(), self.entry_point
            reference, iterators = namespace[name], list[Any]()

            def record(*arguments: Any, **named: Any) -> Any:
                call, _ = call_results.encode_call(arguments, named, shared=self.shares_arguments)
                self.calls.append(call)
                candidate, namespace[name] = namespace[name], reference  # which may call itself
                try:
                    value = reference(*arguments, **named)
                except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
                    raise call_results.ProgramExited(Cause.EXITED_EARLY, str(error)) from None
                finally:
                    namespace[name] = candidate
                iterators.extend([value] if isinstance(value, Iterator) else ())
                return value

            self._run_test(namespace, record)
            self.complete = not iterators  # what is drawn from them are calls, too

    def _encode_first_call(self) -> None:
        """Encodes the arguments of the first call, which depend on no answer.

        Raises:
          UnserializableValue: they can't be sent.
        """

        def ask(_: str) -> NoReturn:
            raise UnexpectedCall

        errors = (Exception, CheckTimeout, UnexpectedCall)
        with contextlib.suppress(*errors), cpu_time_limit(_REFERENCE_CPU_S, _KILL_CPU_S):
            self._run_test(self._namespace(), call_results.Caller(ask, self.find_class))

    def find_class(self, module: str, name: str) -> type | None:
        """Returns the test's or a module's exception class of this name; None for others."""
        found = self._classes.get(name)
        if found is None and module.partition(".")[0] in compiler.PRELOADED:
            importlib.import_module(module.partition(".")[0])
            found = getattr(sys.modules.get(module), name, None)
        return found if isinstance(found, type) and issubclass(found, Exception) else None

    def set_calls(self, calls: list[str]) -> None:
        """Sets the calls to a program that passed, which the next programs will get."""
        self.calls, self.complete = calls, True

    def cached_verdict(self, answers: bytes) -> tuple[Cause, str] | None:
        """Returns the verdict of check() on the same answers before, or None."""
        return self._verdicts.get(_digest(answers))

    def cache_verdict(self, answers: bytes, verdict: tuple[Cause, str]) -> None:
        """Keeps the verdict of check() on these answers."""
        if len(self._verdicts) < _CACHED_VERDICTS:
            self._verdicts[_digest(answers)] = verdict


def _import_names(text: str) -> None:
    """Imports what a program imports at any depth, before clocks run.

    An import that a clock stops halfway can't be repeated: numpy loads once in a process.
    """
    if all(_is_imported(line) for line in text.splitlines() if "import" in line):
        return  # to parse the text takes long
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{n}" for n in names)] if node.module else []
        for name in names:
            with contextlib.suppress(Exception):  # what isn't a module is a module's attribute
                importlib.import_module(name)


def _is_imported(line: str) -> bool:
    """Whether a line is one import, of what is there already; otherwise it may be anything."""
    match = _ONE_IMPORT.match(line)
    if match is None or (module := sys.modules.get(match[1])) is None:
        return False
    names = re.findall(r"(\w+)(?: +as +\w+)?", match[2] or "")
    return set(names) <= getattr(module, "__dict__", {}).keys()


def _has_code(name: str, code: types.CodeType) -> bool:
    """Whether code defines a function or class of this name, outside of others."""
    return any(getattr(constant, "co_name", "") == name for constant in code.co_consts)


def defines_check(test: str) -> bool:
    """Whether a test binds check() at its top level, in whatever way; to call it doesn't count."""
    table = symtable.symtable(test, "test", "exec")
    name = table.lookup("check") if "check" in table.get_identifiers() else None
    return name is not None and (name.is_assigned() or name.is_imported())


def _is_large(answer: Any) -> bool:
    """Whether an answer has more items, or items of items, than a program can send in time."""
    if not isinstance(answer, list | tuple | set):
        return False
    return len(answer) + sum(len(i) for i in answer if isinstance(i, list | tuple)) > _LARGE


def _digest(answers: bytes) -> bytes:
    return blake2b(answers, digest_size=16).digest()


def _compile_setup(problem: "records.Problem | types.SimpleNamespace") -> tuple[str, Any]:
    """Returns the prompt's own definitions, with the reference, as text and as code or None."""
    suffix = problem.extra.get("suffix", "")
    bodies = [problem.canonical_solution] if problem.canonical_solution else ["    pass\n", ""]
    for body in bodies:
        with contextlib.suppress(*_NOT_COMPILED):
            text = problem.prompt + body + suffix
            return text, compile(text, "prompt", "exec", dont_inherit=True)
    return "", None


def _limited_cpu_s() -> float:
    """CPU seconds of this process as RLIMIT_CPU counts them, by clock ticks.

    They may be a tenth more than `time.process_time()`, which is exact.
    """
    try:
        return max(time.clock_gettime(_TICKS_CLOCK), time.process_time())
    except OSError:  # gVisor has one clock
        return time.process_time()


@contextlib.contextmanager
def cpu_time_limit(cpu_s: float, kill_cpu_s: float = 0.0) -> Iterator[None]:
    """Raises CheckTimeout after `cpu_s` CPU seconds of this process, and limits its memory.

    No Python runs while a loop in C does: there the kernel ends the process, by SIGXCPU, at most
    two seconds later, or after `kill_cpu_s`. The timer counts time in user mode, by a signal that
    no profiler uses: libtpu sends SIGPROF a hundred times a second wherever it is loaded. Code of
    coverage isn't stopped, since it holds a lock that the process would wait for ever after.
    """

    def raise_timeout(_: int, frame: types.FrameType | None) -> None:
        if frame is None or not frame.f_globals.get("__name__", "").startswith("coverage."):
            raise CheckTimeout
        signal.setitimer(signal.ITIMER_VIRTUAL, _AGAIN_S)

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    pages = int(_STATM.read_text().split()[0])
    most = pages * resource.getpagesize() + _JUDGE_BYTES  # beyond what the process has already
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    cpu_hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    kill_s = math.ceil(_limited_cpu_s() + max(cpu_s, kill_cpu_s)) + 1
    cpu_soft = kill_s if cpu_hard == resource.RLIM_INFINITY else min(kill_s, cpu_hard)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_soft, cpu_hard))
    previous = signal.signal(signal.SIGVTALRM, raise_timeout)
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)  # here at the latest the signal raises
    finally:
        signal.signal(signal.SIGVTALRM, previous)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_hard, cpu_hard))
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # a sandbox may need more
