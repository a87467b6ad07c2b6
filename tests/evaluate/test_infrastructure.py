"""Faults of the judge or the machine are no program's: clocks under load, memory, starts."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from codex_jax import records
from codex_jax.evaluate.judging import judge, worker
from codex_jax.evaluate.judging.pool import Job, Pool, WorkerLostError
from codex_jax.evaluate.sandbox import backends, processes, protocol, sandbox
from codex_jax.evaluate.sandbox.guest import server_io
from codex_jax.evaluate.sandbox.sandbox import Limits, SandboxLostError
from codex_jax.evaluate.verdicts import Outcome
from tests.evaluate.processes import processes as all_processes

PROBLEM = records.Problem(
    task_id="t",
    prompt="",
    entry_point="f",
    test="def check(c):\n    assert c(3) == 4\n",
    canonical_solution="def f(n): return n + 1\n",
)


def outcomes(sources, *, isolation="bubblewrap", problem=PROBLEM, **limits) -> list[Outcome]:
    limits = Limits(**{"cpu_s": 1.0, **limits})
    with Pool({"p": problem}, sandbox=isolation, limits=limits, workers=1) as pool:
        found = dict(pool.judge([Job("p", source) for source in sources]))
    return [found[Job("p", source)] for source in sources]


def end_of(monkeypatch, cpu_at, *, limit_s=3.0, host_clock=False) -> tuple[str, float, list[dict]]:
    """Why and when a clock ends a program with this CPU time at each wall time; its reports."""
    now, written = [0.0], []
    monkeypatch.setattr(server_io.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(server_io, "cpu_s", lambda _: cpu_at(now[0]))
    monkeypatch.setattr(server_io, "write_frame", lambda *frame: written.append(frame[1:]))
    server = types.SimpleNamespace(settings={"host_clock": host_clock}, outbox=None)
    clock = server_io.Clock(server, limit_s)
    while now[0] < 1e4:
        now[0] = clock.due
        if reason := clock.look(7):
            assert {message for message, _ in written} <= {protocol.CLOCK}
            return reason, now[0], [json.loads(body) for _, body in written]
    return "", now[0], []


@pytest.mark.parametrize("share", [1.0, 0.5, 0.05, 0.03])
def test_a_share_of_a_core_is_waited_for_until_its_cpu_time_is_over(monkeypatch, share):
    reason, wall_s, _ = end_of(monkeypatch, lambda now: share * now)
    assert reason == "cpu"
    assert 3 <= share * wall_s < 3.2


@pytest.mark.parametrize("stopped_s", [0.4, 2.0, 5.0])
def test_turns_at_a_core_may_be_far_apart(monkeypatch, stopped_s):
    """It runs for a twentieth of the time, and is stopped in between."""
    period_s = stopped_s / 0.95

    def cpu_at(now):
        return 0.05 * period_s * (now // period_s)

    reason, wall_s, _ = end_of(monkeypatch, cpu_at)
    assert reason == "cpu"
    assert wall_s > 55


@pytest.mark.parametrize(
    ("cpu_at", "seconds"),
    [
        (lambda _: 0.0, 6),
        (lambda _: 0.01, 6),
        (lambda now: 0.002 * now, 6),  # it looks for something a hundred times a second
        (lambda now: min(now, 2.0), 9),  # asleep after two seconds of work
        (lambda now: 0.02 * now, 120),
    ],
)
def test_what_sleeps_is_ended_by_the_clock_on_the_wall(monkeypatch, cpu_at, seconds):
    reason, wall_s, _ = end_of(monkeypatch, cpu_at)
    assert reason == "wall"
    assert seconds <= wall_s < seconds + 3


def test_what_may_wait_for_the_host_is_not_idle(monkeypatch):
    """A test computes between two calls, on a machine that is busy."""
    now = [0.0]
    monkeypatch.setattr(server_io.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(server_io, "cpu_s", lambda _: 0.0)
    monkeypatch.setattr(server_io, "write_frame", lambda *_: None)
    clock = server_io.Clock(types.SimpleNamespace(settings={"host_clock": False}, outbox=None), 3.0)
    reasons = []
    for now[0] in (3.0, 7.0, 30.0, 60.0):
        reasons.append(clock.look(7, is_awaiting_call=True))
    now[0] = 66.0
    assert [*reasons, clock.look(7)] == ["", "", "", "", "wall"]


def test_where_the_guest_s_clock_runs_ahead_the_host_decides(monkeypatch):
    reason, wall_s, reports = end_of(monkeypatch, lambda now: 0.9 * now, host_clock=True)
    assert (reason, wall_s >= 120) == ("wall", True)
    assert reports[1]["limit_s"] == 3
    assert len([report for report in reports if report["cpu_s"] >= 3]) > 100
    assert end_of(monkeypatch, lambda now: 0.02 * now, host_clock=True)[:2] == ("wall", 6.0)


@pytest.mark.parametrize(("share", "expires"), [(1.0, True), (0.5, False), (0.05, False)])
def test_the_host_ends_a_program_by_real_cpu_time(monkeypatch, share, expires):
    """The guest says 3.0 s, then 3.5 s: it has used as much only on an idle machine."""
    real = iter([100.0, 100.0 + 0.5 * share])
    monkeypatch.setattr(processes, "tree_cpu_s", lambda _: next(real))
    handle = sandbox.Sandbox(sandbox.SandboxInfo(backends.Gvisor(), None))
    handle._process = types.SimpleNamespace(pid=1)
    clocks = [{"cpu_s": cpu_s, "limit_s": 3.0, "asleep": False} for cpu_s in (3.0, 3.5)]
    frames = [(protocol.CLOCK, json.dumps(clock).encode()) for clock in clocks]
    frames.append((protocol.ENDED, b'{"cpu_s": 4.0}\n{"value": 1}\n'))
    sent = []
    monkeypatch.setattr(handle, "_receive_frame", lambda _: frames.pop(0))
    monkeypatch.setattr(handle, "send", sent.append)
    monkeypatch.setattr(handle, "_flush", lambda: None)
    message, body = handle.receive_any(within_s=1)
    head, _, rest = body.partition(b"\n")
    assert sent == [protocol.EXPIRE] * expires
    assert (message, rest) == (protocol.ENDED, b'{"value": 1}\n')
    assert json.loads(head)["cpu_s"] == pytest.approx(4.0 * share)


@pytest.mark.parametrize(
    ("asleep", "expires"),
    [
        ([True] * 5, 1),  # asleep for four times its limit
        ([True] * 4, 0),
        ([False] * 50, 0),  # it waits for a core, or is stopped
        ([True, False] * 5, 1),  # what it sleeps adds up
    ],
)
def test_the_host_ends_what_sleeps_in_all_for_too_long(monkeypatch, asleep, expires):
    now, sent = [0.0], []
    handle = sandbox.Sandbox(sandbox.SandboxInfo(backends.Bubblewrap(), None))
    reports = [{"cpu_s": 0.0, "limit_s": 3.0, "asleep": value} for value in asleep]
    frames = [(protocol.CLOCK, json.dumps(report).encode()) for report in reports]
    frames.append((protocol.ENDED, b"{}\n"))

    def receive(_):
        now[0] += 2.9
        return frames.pop(0)

    monkeypatch.setattr(sandbox.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(handle, "_receive_frame", receive)
    monkeypatch.setattr(handle, "send", sent.append)
    monkeypatch.setattr(handle, "_flush", lambda: None)
    handle.receive_any(within_s=1)
    assert sent == [protocol.EXPIRE] * expires
    frames.extend([(protocol.CLOCK, json.dumps(reports[0]).encode()), (protocol.ENDED, b"{}\n")])
    handle.receive_any(within_s=1)
    assert len(sent) == expires  # the next program begins anew


POLLERS = {
    "milliseconds": "while True: time.sleep(0.001)",
    "a fifth of the limit": "while True: time.sleep(0.1)",
    "with work in between": "while sum(range(50_000)): time.sleep(0.02)",
    "a thread that waits": "threading.Event().wait()",
}


@pytest.mark.parametrize("name", POLLERS)
def test_a_program_that_polls_is_ended_in_a_few_times_its_limit(isolation, name):
    body = f"import threading, time\ndef f(n):\n    {POLLERS[name]}\n"
    right = "import time\ndef f(n):\n    time.sleep(0.2)\n    return n + 1\n"
    wrong, good = outcomes([body, right], isolation=isolation, cpu_s=0.5)
    assert wrong.cause == "time_limit"
    assert float(wrong.detail.split()[-2]) < 0.5 * 40  # when it would be ended in any case
    assert good.cause == "passed"


def test_the_cpu_time_of_a_tree_includes_what_has_ended():
    burn = "import time\nwhile time.process_time() < 0.2: pass\n"
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
    script += "print(flush=True)\ninput()\n"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        assert 0.15 < processes.tree_cpu_s(process.pid) < 5
        process.stdin.close()


@pytest.mark.slow
def test_a_right_program_with_a_thirtieth_of_a_core_passes(isolation):
    """Its sandbox runs for 15 of 500 ms; it needs 0.3 of its 2 s."""
    source = "import time\nwhile time.process_time() < 0.3: pass\ndef f(n): return n + 1\n"
    is_done = threading.Event()

    def starve():
        while not is_done.wait(0.015):
            stopped = list(sandboxes())
            for pid in stopped:
                _signal(pid, signal.SIGSTOP)
            is_done.wait(0.485)
            for pid in stopped:
                _signal(pid, signal.SIGCONT)

    thread = threading.Thread(target=starve)
    with Pool({"p": PROBLEM}, sandbox=isolation, limits=Limits(cpu_s=2.0), workers=1) as pool:
        pool.sandbox_info()
        thread.start()
        try:
            (outcome,) = (outcome for _, outcome in pool.judge([Job("p", source)]))
        finally:
            is_done.set()
            thread.join()
    assert outcome.cause == "passed", outcome


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def sandboxes():
    """Pids of all that judges of this process have started."""
    workers, below = {os.getpid()}, set()
    for process in sorted(all_processes()):
        is_worker = "codex_jax.evaluate.judging.worker" in process.command
        if process.parent in workers and is_worker:
            workers.add(process.pid)
        elif process.parent in below or process.parent in workers - {os.getpid()}:
            below.add(process.pid)
            yield process.pid


class _FakeWorker(worker.Worker):
    """Without a sandbox; its actions are what a test says."""

    def __init__(self):
        self.opened = self.closed = 0

    def _ensure_sandbox(self):
        self.opened += 1

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("error", [MemoryError(), SandboxLostError("it is gone")])
def test_what_goes_down_is_tried_again_and_is_no_verdict(error):
    def act():
        failures = next(counts)
        if failures < lost:
            raise error
        return {"cause": "passed"}

    lost, counts, judging = 2, itertools.count(), _FakeWorker()
    assert judging._with_retries(act) == {"cause": "passed"}
    assert judging.closed == 2
    lost, counts = 3, itertools.count()
    outcome = judging._with_retries(act)
    assert outcome["cause"] == "infra_error"
    assert "its sandbox was lost 3 times: " in outcome["detail"]


@pytest.mark.parametrize(
    ("status", "cause"),
    [(-signal.SIGSEGV, "protocol_violation"), (-signal.SIGKILL, "infra_error"), (1, "infra_error")],
)
def test_a_judge_that_is_gone_is_the_program_s_fault_if_it_crashed(status, cause):
    with Pool({}, sandbox="bubblewrap", limits=Limits(), workers=1) as pool:
        assert pool._outcome_of_failure(WorkerLostError("it is gone"), status).cause == cause


def test_a_sandbox_that_is_killed_costs_no_verdict():
    """It is killed while the program sleeps; the next one runs it to its end."""
    source = "import time\ntime.sleep(0.7)\ndef f(n): return n + 1\n"
    with Pool({"p": PROBLEM}, sandbox="bubblewrap", limits=Limits(cpu_s=5.0), workers=1) as pool:
        pool.sandbox_info()

        def kill():
            time.sleep(0.2)
            for pid in sandboxes():
                _signal(pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        (outcome,) = (outcome for _, outcome in pool.judge([Job("p", source)]))
        thread.join()
    assert outcome.cause == "passed", outcome


@pytest.mark.parametrize("status", [70, 71])
def test_a_program_s_own_status_is_its_own(status):
    """It exits as a process of ours would that can't start: it has been started all the same."""
    (outcome,) = outcomes([f"import os\nos._exit({status})\n"])
    assert outcome.cause == "exited_early"
    assert str(status) in outcome.detail


def test_a_process_that_never_ran_its_program_is_no_verdict(run_script):
    script = """
import json, types
from codex_jax.evaluate.judging import check_plan, judge
from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.sandbox import Limits, SandboxLostError
from codex_jax.records import Problem

end = {"reason": "closed", "signal": 0, "exit": 70, "cpu_s": 0.0, "wall_s": 0.1, "full": False}
body = json.dumps(end | {"dirty": False}).encode() + b"\\n"
channel = types.SimpleNamespace(
    set_calls=lambda _: None,
    start_program=lambda *, live: live,
    receive_any=lambda *, within_s: (protocol.ENDED, body[: 10**9 * bool(within_s)]),
    tainted=False,
)
test = "def check(c):\\n    assert c(1) == 2\\n"
plan = check_plan.CheckPlan(Problem(task_id="p", prompt="", entry_point="f", test=test))
try:
    judge.judge(channel, plan, Limits())
except SandboxLostError as lost:
    print(lost)
"""
    assert "couldn't start a program" in run_script(script)


@pytest.mark.parametrize(
    "test", ["{}", "def check(c):\n    {}\n", "class A:\n  def b(self):\n    {}\n"]
)
def test_imports_at_any_depth_run_before_the_clock(run_script, test):
    for statement in ("import colorsys", "from colorsys import rgb_to_hsv"):
        script = f"""
import sys
from codex_jax.evaluate.judging import check_plan
check_plan._import_names({test.format(statement)!r})
print("colorsys" in sys.modules)
"""
        assert run_script(script).strip() == "True"


def test_submodules_are_imported_before_the_clock(run_script, tmp_path):
    """`from PACKAGE import MODULE` loads the module, which the package alone doesn't."""
    (tmp_path / "package").mkdir()
    for name in ("__init__", "first", "second", "third"):
        (tmp_path / "package" / f"{name}.py").write_text("x = 1\n")
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import package
from codex_jax.evaluate.judging import check_plan
for text in ("from package import first", "from package import x, second as s",
             "from package import (\\n    third,\\n    absent)"):
    check_plan._import_names(text)
print(sorted(name for name in sys.modules if name.startswith("package.")))
"""
    names = ["package.first", "package.second", "package.third"]
    assert run_script(script).strip() == str(names)


def test_an_import_is_never_stopped_by_the_clock(run_script, tmp_path):
    """Halfway through its import a library may be broken for the whole process, as numpy is."""
    (tmp_path / "slow_library.py").write_text(
        "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass\n"
        "count = 1\n"
    )
    for prompt, reference, test in (
        ("import slow_library\n", "", "pass"),
        ("", "def f(n):\n    import slow_library\n    return slow_library.count\n", "pass"),
        ("", "", "import slow_library"),
    ):
        problem = records.Problem(
            task_id="t",
            prompt=prompt,
            canonical_solution=reference or PROBLEM.canonical_solution,
            entry_point="f",
            test=f"def check(c):\n    {test}\n    c(3)\n",
        )
        script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from codex_jax.evaluate.judging import check_plan
from codex_jax.records import Problem
check_plan.CheckPlan({problem!r})
print(sys.modules["slow_library"].count)
"""
        assert run_script(script).strip() == "1"


def test_memory_that_a_test_takes_is_the_answer_s_unless_there_is_none(monkeypatch):
    assert judge._cause_of_failure(MemoryError())[0] == "memory_limit"
    monkeypatch.setattr(judge, "_SPARE_BYTES", 1 << 62)
    with pytest.raises(SandboxLostError, match="the judge has too little memory"):
        judge._cause_of_failure(MemoryError())


def test_a_huge_answer_is_its_program_s():
    problem = records.Problem(
        **vars(PROBLEM) | {"test": "def check(c):\n    assert list(c(3)) == [0]\n"}
    )
    (outcome,) = outcomes(["def f(n): return range(10**12)\n"], problem=problem)
    assert outcome.cause == "memory_limit", outcome


def test_a_time_limit_leaves_nothing_behind_whenever_its_signal_comes(run_script):
    """The signal may come in the limit's own last lines, too: it must not keep limits in force."""
    script = """
import contextlib, resource, signal, time
from codex_jax.evaluate.judging.check_plan import CheckTimeout, cpu_time_limit

before = [resource.getrlimit(name) for name in (resource.RLIMIT_CPU, resource.RLIMIT_AS)]
timeouts = 0
for n in range(3000):
    with contextlib.suppress(CheckTimeout), cpu_time_limit(1e-5 + n * 1e-8):
        end = time.process_time() + n * 1e-8
        while time.process_time() < end:
            pass
        timeouts -= 1
    timeouts += 1
    after = [resource.getrlimit(name) for name in (resource.RLIMIT_CPU, resource.RLIMIT_AS)]
    assert after == before, (n, after)
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
"""
    assert run_script(script) == ""


def test_a_time_limit_stops_no_code_that_measures_coverage(run_script):
    """That code holds a lock: stopped there, the judge waited for it until it was given up."""
    script = """
import signal
from codex_jax.evaluate.judging.check_plan import CheckTimeout, cpu_time_limit

tracer = {"__name__": "coverage.collector", "signal": signal}
exec("def lock():\\n    signal.raise_signal(signal.SIGVTALRM)\\n    return 'unlocked'", tracer)
try:
    with cpu_time_limit(60):
        state = tracer["lock"]()
        while True:
            pass
except CheckTimeout:
    assert state == "unlocked"
assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
"""
    assert run_script(script) == ""


def test_a_process_that_has_used_much_cpu_time_still_has_all_of_a_limit(run_script):
    """RLIMIT_CPU counts clock ticks, which may be a tenth more than the CPU time used."""
    script = """
import time
from codex_jax.evaluate.judging import check_plan

counted = time.process_time() + 100
time.clock_gettime = lambda clock: counted
assert check_plan._limited_cpu_s() == counted
with check_plan.cpu_time_limit(5):
    import resource
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] > counted + 5
"""
    assert run_script(script) == ""


def test_a_new_worker_without_a_sandbox_says_so_instead_of_a_traceback(tmp_path):
    """Sandboxes that go down in the middle: a worker that was lost starts, and no sandbox does."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'no permissions' >&2\nexit 1\n")
    broken.chmod(0o755)
    problem = {"task_id": "t", "prompt": "", "entry_point": "f", "test": "assert f() == 1\n"}
    problem |= {"canonical_solution": None, "extra": {}}
    request = {"do": "judge", "jobs": [("t", "def f(): return 1\n")], "outcomes": {}}
    request["problems"] = {"t": problem}
    settings = {"scratch": str(tmp_path / "scratch"), "sandbox": "bubblewrap"}
    settings |= {"limits": Limits()._asdict(), "parent": os.getpid()}
    settings["core"] = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-m", "codex_jax.evaluate.judging.worker", json.dumps(settings)],
        input=json.dumps(request) + "\n",
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    (reply,) = map(json.loads, done.stdout.splitlines())
    assert "no sandbox works (bubblewrap" in reply["infra_error"]
    assert "Traceback" not in done.stderr
