"""Calls are recorded as they were before they ran; on every Python that is here."""

import json
import pathlib
import subprocess
import sys

import pytest

from codex_jax.curate import traces

RECORDER = pathlib.Path(traces.__file__).with_name("recorder.py")
PROGRAM = f"""
import runpy, sys, types, os, json
out = []
names = runpy.run_path({str(RECORDER)!r})
recorder = names["Recorder"](["demo"], out.append)
demo, other = types.ModuleType("demo"), types.ModuleType("other")
SOURCE = '''
import builtins
def change(x, *rest, k=1, **more):
    x.append(1)
    return len(x)
def count(n):
    for i in range(n): yield i
def fail(x): raise ValueError
def nothing(x): return None
def factorial(n): return 1 if n <= 1 else n * factorial(n - 1)
def odd(x): return 1
class K:
    def method(self, x): return x
    @staticmethod
    def static(x): return x
async def later(x): return x
def spoil(x):
    builtins.repr = builtins.len = builtins.type = None
    return x
def outer(x):
    def inner(y): return y
    return inner(x)
'''
exec(SOURCE, demo.__dict__)
exec(SOURCE, other.__dict__)
class Text(str):
    def __repr__(self): raise ValueError
    __eq__ = __len__ = __repr__
    __hash__ = str.__hash__
recorder.install()
demo.change([1], 2, k=3, z=4)
list(demo.count(3)); next(demo.count(5)); list(demo.count(2))
for bad in (object(), Text("a"), float("nan"), "x" * 5000, [[[[[[[[1]]]]]]]], list(range(500))):
    demo.odd(bad)
try: demo.fail(1)
except ValueError: pass
demo.nothing(5); demo.factorial(3); demo.outer(1); other.odd(1)
demo.K().method(1); demo.K.static(1); demo.later(1).close()
sys.setprofile(None)
recorder.install()
demo.odd(None); demo.spoil(1); demo.odd({{"a": (1, b"x")}})
os.write(1, b"".join(out))
"""
EXPECTED = [
    ("change", ["[1]", "2"], {"k": "3", "z": "4"}, "2"),
    ("count", ["3"], {}, "[0, 1, 2]"),
    ("count", ["2"], {}, "[0, 1]"),
    ("nothing", ["5"], {}, "None"),
    ("factorial", ["1"], {}, "1"),
    ("factorial", ["2"], {}, "2"),
    ("factorial", ["3"], {}, "6"),
    ("outer", ["1"], {}, "1"),
    ("odd", ["None"], {}, "1"),
    ("spoil", ["1"], {}, "1"),
    ("odd", ["{'a': (1, b'x')}"], {}, "1"),
]
PYTHONS = [sys.executable]
_VERSIONS = pathlib.Path.home() / ".pyenv" / "versions"
PYTHONS += sorted(str(path) for path in _VERSIONS.glob("3.1[2-9]*/bin/python"))


@pytest.mark.parametrize("python", PYTHONS)
def test_recorded_calls(python):
    done = subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["module"] for line in lines} == {"demo"}, done.stderr
    calls = [(line["name"], line["arguments"], line["named"], line["value"]) for line in lines]
    assert calls == EXPECTED


def test_a_function_has_so_many_records_at_most():
    names = subprocess.run(
        [sys.executable, "-c", PROGRAM.partition("recorder.install()")[0] + """
recorder.install()
for n in range(10_000): demo.odd(n)
for n in range(10_000): demo.nothing(0)
sys.setprofile(None)
print(len(out))"""],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert names.stdout.split() == ["41"]
