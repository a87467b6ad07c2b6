"""The process of a program: its calls and its answers."""

import gc
import json
import marshal
import os
import sys
import types

from codex_jax.evaluate.sandbox.guest import confine, server_io, value_codec

_DECODED_BYTES = 1 << 18  # of calls: more are decoded one by one, each when it is made
_FAILED = 70  # exit status


class CallPlan:
    """Entry point, calls and limits of the programs of one problem; decoded once for all."""

    def __init__(self, body):
        fields = json.loads(body)
        self.entry_point, self.limits = fields["entry_point"], fields["limits"]
        decode = sum(map(len, fields["calls"])) < _DECODED_BYTES
        self.calls = [Call(text) if decode else text for text in fields["calls"]]


class Call:
    """A call to make: decoded arguments, and their encoded form to find out what changed."""

    def __init__(self, text):
        self.form = json.loads(text)
        self.arguments, self.named = value_codec.decode(self.form)
        containers = (list, dict, set, bytearray)
        self.may_change = any(type(argument) in containers for argument in self.arguments)


class Program:
    """The process of one program, from the fork to its end.

    Args:
      plan: the CallPlan.
      inlet: pipe with the program's code, and with further calls if `live`.
      outlet: pipe for answers, a line of JSON each.
      live: whether calls follow those of the plan.
    """

    def __init__(self, plan, inlet, outlet, *, live):
        self.plan, self.inlet, self.outlet, self.live = plan, inlet, outlet, live

    def run(self, size, uid):
        """Reads `size` bytes of code, drops all privileges, runs it and exits."""
        status = _FAILED
        try:
            code = marshal.loads(server_io.read_exact(self.inlet, size))
            os.setpgid(0, 0)  # else a signal to its process group would reach the template
            confine.set_rlimits(self.plan.limits)
            confine.drop_privileges(uid)
            gc.enable()
            self.answer_calls(code)
            status = 0
        finally:
            os._exit(status)

    def answer_calls(self, code):
        """Runs the code, then makes the calls; writes an answer for each."""
        module = types.ModuleType("program")
        sys.modules["program"] = module
        try:
            function = load_function(code, module.__dict__, self.plan.entry_point)
        except BaseException as error:  # noqa: BLE001 - whatever a program raises
            self.write({"unready": describe_exception(error)})
            return
        self.write({"ready": True})
        for call in self.plan.calls:
            self.write(call_function(function, call))
        if self.live:
            with open(self.inlet, "rb", closefd=False) as lines:
                for line in lines:
                    self.write(call_function(function, line))

    def write(self, answer):
        """Writes an answer; blocks while the pipe is full."""
        rest = to_json_line(answer)
        count = os.write(self.outlet, rest)
        while count < len(rest):
            rest = rest[count:]
            count = os.write(self.outlet, rest)


def to_json_line(answer):
    """Returns the answer as a line of JSON, in bytes."""
    return json.dumps(answer).encode() + b"\n"


def load_function(code, namespace, entry_point):
    """Runs the program's code in `namespace` and returns the function to call."""
    exec(code, namespace)
    if entry_point not in namespace:
        raise NameError(f"name {entry_point!r} is not defined")
    return namespace[entry_point]


def call_function(function, call):
    """Returns the answer to a Call or its text.

    It is a value, with the arguments if the call changed them, or an exception.
    """
    try:
        if type(call) is not Call:
            call = Call(call)
        answer = {"value": value_codec.encode(function(*call.arguments, **call.named))}
        if call.may_change:
            after = value_codec.encode(list(call.arguments))
            if after != call.form[0]:
                answer["arguments"] = after
    except BaseException as error:  # noqa: BLE001 - whatever a program raises
        return {"raised": describe_exception(error)}
    return answer


def describe_exception(error):
    """Returns the nearest builtin class's name, the class's own, the message, and errno or None."""
    builtin = next(base for base in type(error).__mro__ if base.__module__ == "builtins")
    try:
        message = str(error)[:300]
    except BaseException:  # noqa: BLE001 - whatever its __str__ raises
        message = "(its message can't be read)"
    number = getattr(error, "errno", None)
    names = [builtin.__name__, type(error).__name__[:100], message]
    return [*names, number if type(number) is int else None]
