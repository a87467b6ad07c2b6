"""Nobody forges a verdict, writes outside, stays alive or harms a neighbour."""

import os
import pathlib
import runpy
import subprocess
import tempfile
import time

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.judging.pool import Job, Pool
from codex_jax.evaluate.sandbox import backends, python_sandbox, sandbox
from tests.evaluate.processes import processes
from tests.evaluate.pythons import python_for_all

_LISTED = runpy.run_path(str(pathlib.Path(__file__).with_name("attacks.py")))
ANY, ATTACKS = _LISTED["ANY"], _LISTED["ATTACKS"]

SECRET = records.Problem(
    task_id="secret",
    prompt="",
    entry_point="secret",
    test="def check(candidate):\n    for n in range(9):\n"
    "        assert candidate(n) == (n * 7919 + 13) % 10007\n",
    canonical_solution="def secret(n): return (n * 7919 + 13) % 10007\n",
)
HONEST = "def secret(n):\n    return (n * 7919 + 13) % 10007  # {}\nUNIQUE = {}\n"


def judge(isolation: str, sources: list[str], problem=SECRET, **limits) -> dict[str, object]:
    limits = sandbox.Limits(**{"cpu_s": 1.0, "memory_mb": 256, **limits})
    with Pool({"p": problem}, sandbox=isolation, limits=limits, workers=2) as pool:
        return {job.source: outcome for job, outcome in pool.judge([Job("p", s) for s in sources])}


def survivors(scratch: pathlib.Path) -> list[str]:
    """Judges and sandboxes of this folder that are still alive, and what they started."""
    parents, commands = set(), []
    for process in sorted(processes()):
        if process.parent in parents or str(scratch) in process.command:
            parents.add(process.pid)
            commands.append(process.command[:200])
    return commands


@pytest.mark.slow
def test_no_attack_gets_what_it_wants(isolation, monkeypatch):
    """Attacks and honest programs alternate: every one of the latter must still pass."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="codex-jax-test-", dir="/tmp"))
    scratch.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))
    attacks = [source for source, _ in ATTACKS.values()]
    honest = [HONEST.format(i, i) for i in range(len(attacks))]
    programs = [program for pair in zip(attacks, honest, strict=True) for program in pair]
    outcomes = judge(isolation, programs)
    wrong = {}
    for name, (source, causes) in ATTACKS.items():
        outcome = outcomes[source]
        if outcome.cause == "passed" or (causes != ANY and outcome.cause not in causes):
            wrong[name] = outcome
    assert not wrong
    harmed = [outcomes[source] for source in honest if outcomes[source].cause != "passed"]
    assert not harmed
    deadline = time.monotonic() + 60  # they take a moment to go
    while survivors(scratch) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not survivors(scratch)
    scratch.rmdir()  # must be empty
    for folder in ("/usr", "/", "/dev", "/tmp"):
        assert not pathlib.Path(folder, "codex-jax-was-here").exists()


def test_later_programs_find_nothing_of_earlier_ones(isolation):
    """A program spoils all it can reach; the next ones, in the same sandbox, don't notice."""
    spoiler = """
import builtins, json, math, os, sys, random
builtins.len = lambda x: 0
math.pi = 3
json.loads = None
sys.modules['collections'] = None
open('/tmp/note', 'w').write('hello')
def secret(n): return 0
"""
    witness = """
import collections, json, math, os
assert math.pi > 3 and len('ab') == 2 and json.loads('1') == 1
assert os.listdir('/tmp') == []
def secret(n): return (n * 7919 + 13) % 10007 + 0 * {}
"""
    programs = [p for i in range(4) for p in (spoiler + f"#{i}\nN = {i}", witness.format(i))]
    causes = [outcome.cause for outcome in judge(isolation, programs).values()]
    assert sorted(causes) == ["passed"] * 4 + ["wrong_answer"] * 4


def test_cpu_time_decides_not_wall_time(isolation):
    sleeper = "import time\ntime.sleep(1.3)\n" + HONEST.format(0, 0)
    burner = "import time\nwhile time.monotonic() < 1e9: pass\n" + HONEST.format(1, 1)
    outcomes = judge(isolation, [sleeper, burner])
    assert outcomes[sleeper].cause == "passed"
    assert outcomes[burner].cause == "time_limit"
    assert 0.9 < outcomes[burner].cpu_s < 2


def test_nothing_is_readable_but_the_system(isolation, tmp_path):
    program = """
import os
def secret(n):
    return [sorted(os.environ), os.getuid() == 0 and os.access('/tmp/..', os.W_OK),
            [f for f in %r if os.path.exists(f)]]
"""
    outside = [str(tmp_path), __file__, "/home", "/var", "/etc/passwd", "/etc/shadow"]
    program %= outside
    problem = records.Problem(
        task_id="t",
        prompt="",
        entry_point="secret",
        test="def check(c):\n    assert c(0) == [[], False, []], c(0)\n",
    )
    assert judge(isolation, [program], problem)[program].cause == "passed"


def test_a_program_holds_its_own_two_pipes_and_no_more(isolation):
    """Standard input, output and error lead nowhere; a pipe has its calls, another its answers."""
    program = """
import os
def secret(n):
    held = []
    for descriptor in range(64):
        try:
            os.fstat(descriptor)
            held.append(descriptor)
        except OSError:
            pass
    return len(held), [os.fstat(d).st_rdev == os.stat('/dev/null').st_rdev for d in range(3)]
"""
    test = "def check(c):\n    assert c(0) == (5, [True] * 3), c(0)\n"
    problem = records.Problem(task_id="t", prompt="", entry_point="secret", test=test)
    outcome = judge(isolation, [program], problem)[program]
    assert outcome.cause == "passed", outcome


def test_a_crash_concerns_nobody_else(isolation):
    """Its limit of 1 has the kernel neither write a core dump nor start the host's handler."""
    program = """
import os, resource
def secret(n):
    if n:
        os.abort()
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return 'refused'
    return 'set'
"""
    test = "def check(c):\n    assert c(0) in {}, c(0)\n    c(1)\n"
    allowed = ("refused",) if isolation == "bubblewrap" else ("refused", "set")
    problem = records.Problem(
        task_id="t", prompt="", entry_point="secret", test=test.format(allowed)
    )
    outcome = judge(isolation, [program], problem)[program]
    assert outcome.cause == "exited_early" or "SIGABRT" in outcome.detail, outcome


def test_an_ordinary_user_can_judge(isolation):
    """Programs in Python and in another language, from the verb to the verdicts."""
    if os.geteuid() != 0:
        pytest.skip("this test runs as an ordinary user already, and so do all others")
    bash = {"language": "bash", "mode": "in-process"}
    task = records.Problem(task_id="b", prompt="f() {\n", test="}\n[[ $(f) = 7 ]]", extra=bash)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from codex_jax.evaluate.evaluate import evaluate\n"
        "evaluate(problems='p.jsonl', completions='c.jsonl', output='out', ks=(1,),"
        " sandbox=sys.argv[2])\n"
    )
    with tempfile.TemporaryDirectory(prefix="codex-jax-test-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        records.write_jsonl(folder / "p.jsonl", [SECRET, task])
        bodies = [("secret", HONEST.format(1, 1)), ("secret", "!"), ("b", "echo 7")]
        rows = [records.Completion(task_id=t, completion=body) for t, body in bodies]
        records.write_jsonl(folder / "c.jsonl", rows)
        folder.chmod(0o777)
        root = str(pathlib.Path(__file__).parents[2])
        done = subprocess.run(
            [python_for_all(), "-c", script, root, isolation],
            check=False,
            user=backends.NOBODY,
            group=backends.NOBODY,
            extra_groups=[],
            cwd=name,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": _numpy_folder(), "TMPDIR": name},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        verdicts = list(records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict))
    assert {row.isolation for row in verdicts} == {isolation}
    causes = sorted((row.task_id, row.cause) for row in verdicts)
    assert causes == [("b", "passed"), ("secret", "passed"), ("secret", "syntax_or_compile_error")]


def _numpy_folder() -> str:
    import numpy

    return str(pathlib.Path(numpy.__file__).parents[1])


def test_no_sandbox_is_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(backends, "_bwrap", lambda: None)
    with pytest.raises(InputError, match=r"no sandbox works .*install one") as caught:
        python_sandbox.choose_backend("auto")
    assert "\n" not in str(caught.value)


def test_an_unknown_sandbox_is_one_line():
    with pytest.raises(
        InputError, match=r"sandbox 'docker'; expected one of auto, gvisor, bubblewrap"
    ):
        python_sandbox.choose_backend("docker")


# `collections.Counter.copy(int)` is `type`: with it, arbitrary code is reached from plain names.
_COUNTER_COPY = """
from collections import Counter
def secret(n):
    metaclass = Counter.copy(int)
    for name in ("rewrite", "sabotage"):
        metaclass(name, (), {})
    modules = metaclass.mro(metaclass)[-1].__subclasses__()
    for found in modules:
        names = getattr(found.__init__, "__globals__", {})
        for module in list(getattr(names.get("sys"), "modules", {}).values()):
            for name in ("Caller", "call_deeply", "outcome", "exec", "encode", "line"):
                if name in vars(module):
                    setattr(module, name, lambda *_, **__: {"value": 13})
    return 13
# """


def test_arbitrary_code_in_one_program_changes_no_verdict_on_the_next(isolation):
    right, wrong = HONEST, "def secret(n):\n    return 13  # {}\nUNIQUE = {}\n"
    sources = [
        source
        for i in range(5)
        for source in (
            _COUNTER_COPY + str(i) + f"\nN = {i}",
            right.format(i, i),
            wrong.format(i, i),
        )
    ]
    outcomes = judge(isolation, sources)
    assert {outcomes[source].cause for source in sources[1::3]} == {"passed"}
    assert {outcomes[source].cause for source in sources[2::3]} == {"wrong_answer"}
    assert "passed" not in {outcomes[source].cause for source in sources[0::3]}


_LOOPS_THAT_END = {
    "empty ranges are equal": """
    r = range(0)
    while r.start < 10**6:
        r = range(r.start + 1, r.start + 1)
""",
    "zeros are equal": """
    z, rounds = 0j, 0
    while rounds < 10**6:
        z, rounds = -z, rounds + 1
    z = complex(0.0, 0.0)
    while str(z) != '(-0-0j)':
        z = complex(-0.0, -0.0) if rounds > 2 * 10**6 else z
        rounds += 1
""",
    "the sign of nan": """
    import math
    x, rounds = math.nan, [0]
    while math.copysign(1, x) > 0:
        rounds[0] += 1
        x = -x if rounds[0] == 10**6 else x
""",
    "equal values that are other objects": """
    first = last = (n, 0)
    seen = [0]
    while last is first or seen[0] < 10**6:
        last = tuple([n, 0]) if seen[0] >= 10**5 else first
        seen[0] += 1
""",
}


@pytest.mark.parametrize("name", _LOOPS_THAT_END)
def test_a_loop_that_comes_to_its_end_is_waited_for(isolation, name):
    body = _LOOPS_THAT_END[name]
    guard = f"def secret(n):\n    if n == 0:\n{body.replace(chr(10), chr(10) + '    ')}\n"
    source = guard + "    return (n * 7919 + 13) % 10007\n"
    outcome = judge(isolation, [source], cpu_s=3.0)[source]
    assert outcome.cause == "passed", outcome
