"""What is called tame leads nowhere: no name, module or attribute beyond plain values."""

import builtins
import importlib
import itertools
import types

import pytest

from codex_jax.evaluate.sandbox.guest import tame

UNTAME = r"""
open('/tmp/x', 'w')
__import__('os')
__builtins__
__loader__
eval('1')
exec('1')
compile('1', '', 'eval')
getattr(1, 'x')
setattr(f, 'x', 1)
globals()
vars()
type(f)
object()
id(f)
input()
memoryview(b'')
bytearray(3)
breakpoint()
super()
import os
import sys
import gc
import random
import os.path
import collections.abc
import re, ctypes
from os import system
from typing import *
from collections import namedtuple
from functools import partial
from functools import __dict__
from re import enum
from . import os
().__class__
f.__globals__
f.__code__
f.__defaults__
f.f_back
(x for x in y).gi_frame
error.__traceback__
error.tb_frame
'{0.__class__}'.format(f)
'{}'.format(1)
(x if y else '{}').format(f)
str.format
''.format_map({})
re._parser
re.enum
re.copyreg
typing.sys
string.Formatter
copy._deepcopy_dispatch
f.x = 1
re.x = 1
del f.x
f.x += 1
[f.x for f.x in y]
for f.x in y: pass
class A: pass
class A(int):\n    def __eq__(self, other): return True
async def g(): pass
with x: pass
match x:\n    case int(real=y): pass
__name__.__class__
__builtins__ = {}
def g():\n    global __builtins__\n    __builtins__ = 1
del __builtins__
lambda: (lambda: open)
def g(x=eval): pass
@property\ndef g(): pass
def g() -> open: pass
x: open = 1
[open for x in y]
{x: exec for x in y}
f'{open}'
f'{f.__code__}'
try:\n    x\nexcept* ValueError:\n    pass
raise SystemExit
raise KeyboardInterrupt
try:\n    x\nexcept BaseException:\n    pass
def g():\n    try:\n        yield\n    finally:\n        x
def g():\n    try:\n        yield\n    except ValueError:\n        x
𝑜𝑝𝑒𝑛('x')
f.__𝑐ode__
exit()
quit()
print.__self__
math.__loader__
math.__spec__.loader
[].__reduce_ex__(2)
''.__mod__
type
"""

TAME = r"""
x = 1
from typing import List, Optional
import math, re, collections as c
def g(x: List[int]) -> 'Optional': return math.sqrt(x) + len(re.findall('a', 'b'))
sorted(x, key=lambda a: (-a, str(a)))
[a for b in x for a in b if a]
'%s %d' % (1, 2)
f'{x!r:>{y}}'
def g():\n    yield 1\n    yield 2
try:\n    x\nexcept (IndexError, TypeError) as e:\n    raise ValueError(e) from e
def g():\n    n = 0\n    def h():\n        nonlocal n\n        n += 1\n    return h
a, *b = x; x[1:2] = []; del x[0]; x[0] += 1
assert x, 'no'
print(*x, sep='', **{})
"""

# Within a function these don't parse, or say something about a variable of its own.
_LOCAL = ("from typing", "__builtins__ =", "del __b", "x: open")


def programs(text: str) -> list[str]:
    return [
        line.encode().decode("unicode_escape") if line.isascii() else line
        for line in text.strip().splitlines()
    ]


def is_tame(source: str) -> bool:
    return tame.is_tame(compile(source, "", "exec"))


@pytest.mark.parametrize("source", programs(UNTAME))
def test_what_leads_out_is_not_tame(source):
    assert not is_tame(source)
    if not source.startswith(_LOCAL):
        inner = "\n".join("    " + line for line in source.splitlines())
        assert not is_tame(f"def outer(f, x, y):\n{inner}\n")


@pytest.mark.parametrize("source", programs(TAME))
def test_what_stays_among_its_own_values_is_tame(source):
    assert is_tame(source)


def test_names_far_down_the_table_are_looked_at():
    many = "\n".join(f"name{i} = {i}" for i in range(1000))
    assert is_tame(many) and not is_tame(many + "\nopen")
    assert not is_tame(many + "\nx.__class__") and not is_tame(many + "\nimport os")


def test_what_modules_are_read_for_is_a_value_a_function_or_a_type_of_values():
    """Whatever module a name is read from, with whatever other module's list in mind."""
    allowed = tame._READABLE
    for name in tame.MODULES:
        module = importlib.import_module(name)
        for attribute in allowed & set(vars(module)):
            found = getattr(module, attribute)
            assert not isinstance(found, types.ModuleType), (name, attribute)
        for attribute in tame.MODULES[name].split():
            assert hasattr(module, attribute), (name, attribute)


def test_code_frames_and_functions_have_nothing_to_read():
    def generator():
        yield

    frame_like = [generator(), generator, generator.__code__, generator().gi_frame, tame, print]
    frame_like += [types.CellType(1), ValueError().with_traceback, type, iter([])]
    for thing in frame_like:
        readable = {name for name in dir(thing) if name in tame._READABLE}
        assert readable <= {"replace", "clear"}, (thing, readable)  # of code, of a frame
    reachable = {generator(), generator, print, len, iter([])}
    assert not {n for thing in reachable for n in dir(thing)} & tame._READABLE


def test_its_world_holds_the_listed_builtins_alone():
    world = tame.world()
    assert set(world) == {"__name__", "__doc__", "__builtins__"}
    assert set(world["__builtins__"]) == {*tame._BUILTINS.split(), "__import__"}
    assert world["__builtins__"] is not tame.world()["__builtins__"]
    risky = "open eval exec compile getattr setattr type object vars globals input super id"
    assert not set(risky.split()) & set(world["__builtins__"])
    assert set(world["__builtins__"]) <= set(dir(builtins))


def test_nobody_reads_bytecode_that_isnt_known(monkeypatch):
    code = compile("x = 1", "", "exec")
    assert tame.is_tame(code)
    monkeypatch.setattr(tame, "_READ", range(99, 100))
    assert not tame.is_tame(code)


def test_every_builtin_not_listed_is_refused():
    listed = {*tame._BUILTINS.split(), *tame._OWN.split(), "False", "True", "None", "__debug__"}
    for name in set(dir(builtins)) - listed:
        assert not is_tame(name) and not is_tame(f"def f(): return {name}"), name
        for shape in ("x({})", "x = {}", "[{}]", "lambda a={}: a"):
            assert not is_tame(shape.format(name)), name


def test_every_attribute_not_listed_is_refused():
    kinds = [
        int,
        str,
        list,
        dict,
        set,
        tuple,
        float,
        bytes,
        type,
        object,
        types.FunctionType,
        types.CodeType,
        types.FrameType,
        types.TracebackType,
        types.GeneratorType,
    ]
    names = set(itertools.chain.from_iterable(map(dir, kinds))) - tame._READABLE
    for name in names:
        for shape in ("x.{}", "x.{}(1)", "x.{} = 1", "del x.{}", "f'{{x.{}}}'"):
            assert not is_tame(shape.format(name)), (shape, name)
