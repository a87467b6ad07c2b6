"""One program: the calls it is asked for, and the answers it gives, in a process of its own."""

import json
import mmap
import os
import struct
import sys
import types

from codex_jax.evaluate.inside import confine, values  # both handed over beside this text

_LENGTH = struct.Struct("=Q")
_FULL = 75  # exit status of a program whose answers don't fit


class Call:
    """A call to make: its arguments, decoded and as they came, to tell whether they change."""

    def __init__(self, text):
        self.form = json.loads(text)
        self.arguments, self.named = values.decode(self.form)
        kinds = (list, dict, set, bytearray)
        self.may_change = any(type(argument) in kinds for argument in self.arguments)


class Answers:
    """Memory a program and the fork server share: the one appends lines, the other reads them.

    Cheaper than a system call and two wake-ups for every answer; and what was answered before an
    endless loop isn't lost with it. The length at its head is only the program's word.
    """

    def __init__(self, size):
        self.memory = mmap.mmap(-1, size)
        self.written = self.read = _LENGTH.size

    def append(self, line):
        """False where it doesn't fit."""
        end = self.written + len(line)
        if end > len(self.memory):
            return False
        self.memory[self.written : end] = line
        self.memory[: _LENGTH.size] = _LENGTH.pack(end)
        self.written = end
        return True

    def news(self):
        end = min(_LENGTH.unpack_from(self.memory)[0], len(self.memory))
        start, self.read = self.read, max(end, self.read)
        return self.memory[start : self.read]


class Program:
    """One program's process, from the fork to its end."""

    def __init__(self, answers, outlet, inlet):
        self.answers, self.outlet, self.inlet = answers, outlet, inlet

    def live(self, code, entry_point, calls, limits, uid):
        status = 70
        try:
            confine.limit(limits)
            confine.surrender(uid)
            status = self.answer_calls(code, entry_point, calls)
        finally:
            os._exit(status)

    def answer_calls(self, code, entry_point, calls):
        module = types.ModuleType("program")
        sys.modules["program"] = module
        try:
            exec(code, module.__dict__)
            if entry_point not in module.__dict__:
                raise NameError(f"name {entry_point!r} is not defined")
        except BaseException as error:
            self.answer({"unready": described(error)})
            return 0
        self.answer({"ready": True})
        function = module.__dict__[entry_point]
        for call in calls:
            self.answer(outcome(function, call))
        if self.inlet >= 0:
            os.write(self.outlet, b".")
            with open(self.inlet, "rb") as lines:
                for line in lines:
                    self.answer(outcome(function, line))
                    os.write(self.outlet, b".")
        return 0

    def answer(self, fields):
        if not self.answers.append(json.dumps(fields).encode() + b"\n"):
            os._exit(_FULL)


def outcome(function, call):
    """What one call gives: a value, with the arguments where it changed them, or an exception."""
    try:
        if type(call) is not Call:
            call = Call(call)
        answer = {"value": values.encode(function(*call.arguments, **call.named))}
        if call.may_change:
            after = values.encode(list(call.arguments))
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
