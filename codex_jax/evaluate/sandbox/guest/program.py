"""One program: the calls it is asked for, and the answers it gives, in a process of its own."""

import gc
import json
import marshal
import mmap
import os
import struct
import sys
import types

from codex_jax.evaluate.sandbox.guest import (  # all handed over beside this text
    confine,
    server_io,
    value_codec,
)

_HEAD = struct.Struct("=QQ")  # where the answers end, and whether more didn't fit
_FEW = 1 << 18  # bytes of calls that are decoded before the fork


class Task:
    """What programs of one problem are asked for; calls are decoded once for all of them, and
    where they are many, each by itself.
    """

    def __init__(self, told):
        given = json.loads(told)
        self.entry_point, self.limits = given["entry_point"], given["limits"]
        few = sum(map(len, given["calls"])) < _FEW
        self.calls = [Call(text) if few else text for text in given["calls"]]


class Call:
    """A call to make: its arguments, decoded and as they came, to tell whether they change."""

    def __init__(self, text):
        self.form = json.loads(text)
        self.arguments, self.named = value_codec.decode(self.form)
        kinds = (list, dict, set, bytearray)
        self.may_change = any(type(argument) in kinds for argument in self.arguments)


class Answers:
    """Memory a program and the fork server share: the one appends lines, the other reads them.

    Cheaper than a system call and two wake-ups for every answer; and what was answered before an
    endless loop isn't lost with it. What its head says is only the program's word.
    """

    def __init__(self, size):
        self.memory = mmap.mmap(-1, size)
        self.written = self.read = _HEAD.size

    def append(self, line):
        """False where it doesn't fit."""
        end = self.written + len(line)
        if end > len(self.memory):
            self.memory[: _HEAD.size] = _HEAD.pack(self.written, 1)
            return False
        self.memory[self.written : end] = line
        self.memory[: _HEAD.size] = _HEAD.pack(end, 0)
        self.written = end
        return True

    def news(self):
        end = min(_HEAD.unpack_from(self.memory)[0], len(self.memory))
        start, self.read = self.read, max(end, self.read)
        return memoryview(self.memory)[start : self.read]

    def full(self):
        return bool(_HEAD.unpack_from(self.memory)[1])

    def close(self):
        self.memory.close()


class Program:
    """One program's process, from the fork to its end."""

    def __init__(self, task, answers, outlet, inlet):
        self.task, self.answers, self.outlet, self.inlet = task, answers, outlet, inlet

    def live(self, inbox, size, uid):
        status = 70
        try:
            code = marshal.loads(server_io.exactly(inbox, size))
            os.close(inbox)
            confine.limit(self.task.limits)
            confine.surrender(uid)
            gc.enable()
            status = self.answer_calls(code)
        finally:
            os._exit(status)

    def answer_calls(self, code):
        module = types.ModuleType("program")
        sys.modules["program"] = module
        try:
            function = loaded(code, module.__dict__, self.task.entry_point)
        except BaseException as error:
            self.answer({"unready": described(error)})
            return 0
        self.answer({"ready": True})
        for call in self.task.calls:
            self.answer(outcome(function, call))
        if self.inlet >= 0:
            os.write(self.outlet, b".")
            with open(self.inlet, "rb") as lines:
                for line in lines:
                    self.answer(outcome(function, line))
                    os.write(self.outlet, b".")
        return 0

    def answer(self, fields):
        if not self.answers.append(line(fields)):
            os._exit(70)


def line(answer):
    return json.dumps(answer).encode() + b"\n"


def loaded(code, world, entry_point):
    """The function to be called, once the program has been run in `world`."""
    exec(code, world)
    if entry_point not in world:
        raise NameError(f"name {entry_point!r} is not defined")
    return world[entry_point]


def outcome(function, call):
    """What one call gives: a value, with the arguments where it changed them, or an exception."""
    try:
        if type(call) is not Call:
            call = Call(call)
        answer = {"value": value_codec.encode(function(*call.arguments, **call.named))}
        if call.may_change:
            after = value_codec.encode(list(call.arguments))
            if after != call.form[0]:
                answer["arguments"] = after
    except BaseException as error:
        return {"raised": described(error)}
    return answer


def described(error):
    """The nearest builtin class's name, the class's own, the message, and an errno if any."""
    kinds = [kind for kind in type(error).__mro__ if kind.__module__ == "builtins"]
    try:
        message = str(error)[:300]
    except BaseException:
        message = "(its message can't be read)"
    number = getattr(error, "errno", None)
    names = [kinds[0].__name__, type(error).__name__[:100], message]
    return [*names, number if type(number) is int else None]
