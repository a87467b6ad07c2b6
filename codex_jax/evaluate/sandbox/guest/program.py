"""The process of a program: its calls and its answers."""

import gc
import json
import marshal
import os
import sys
import types

from codex_jax.evaluate.sandbox.guest import confine, server_io, value_codec

_DECODED_BYTES = 1 << 18  # of calls: more are decoded one by one, each when it is made
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_FAILED = 70  # exit status
_WARM_RUNS = 20  # after which the interpreter has specialized the code
_WARM_PLAN = b"""{"entry_point": "f", "limits": {}}
[[[1, "a"], 0.5, true, null, {"tuple": [2]}, {"dict": [["b", 3]]}, {"set": [4]}], {"dict": []}]"""


class CallPlan:
    """Entry point, calls and limits of the programs of one problem; decoded once for all."""

    def __init__(self, body):
        head, *calls = body.decode().split("\n")
        fields = json.loads(head)
        self.entry_point, self.limits = fields["entry_point"], fields["limits"]
        decode = len(body) < _DECODED_BYTES
        self.calls = [value_codec.call_deeply(Call, text) for text in calls] if decode else calls


class Call:
    """A call to make, or an iterator to draw from: decoded, with its encoded form."""

    def __init__(self, text):
        form = json.loads(text)
        self.iterator = form["next"] if type(form) is dict else None
        if self.iterator is None:
            decoder = value_codec.Decoder()
            self.form = form
            self.arguments, self.named = map(decoder.decode, form)
            self.objects = decoder.objects
            inner = [o for o in self.objects if o is not self.arguments and o is not self.named]
            self.mutable = [o for o in inner if type(o) not in (tuple, frozenset)]
            self.copies = None  # of these, once there is an iterator that may change them

    def encode_changes(self, encoder):
        """Returns the contents of all containers of the arguments; None if nothing changed."""
        if self.copies == self.mutable or not self.mutable:
            return None
        fresh = value_codec.Encoder(number_iterator=encoder.number_iterator)
        form = [fresh.encode(self.arguments), fresh.encode(self.named)]
        if form == self.form:
            return None
        self.form = form
        if self.copies is not None:
            self.copy_arguments()
        return [encoder.content(value) for value in self.objects]

    def copy_arguments(self):
        """Copies the arguments' containers: to compare them with copies is fast."""
        self.copies = [o[:] if hasattr(o, "typecode") else o.copy() for o in self.mutable]


class Caller:
    """Calls a program's function, and draws from the iterators that it returned."""

    def __init__(self, function):
        self.function, self.call = function, None
        self.iterators, self.numbers = [], {}  # each with the call that returned it; by id

    def answer(self, call):
        """Returns the answer to a Call or its text.

        It is a value or an exception, with the contents of the arguments' containers if any of them
        changed.
        """
        try:
            if type(call) is not Call:
                call = value_codec.call_deeply(Call, call)
            if call.iterator is None:
                self.call = call
                tag, value = "value", self.function(*call.arguments, **call.named)
            else:
                iterator, self.call = self.iterators[call.iterator]
                tag, value = "value", next(iterator)
        except BaseException as error:  # noqa: BLE001 - whatever a program raises
            tag, value = "raised", error
        try:
            return value_codec.call_deeply(self._encode, tag, value)
        except BaseException as error:  # noqa: BLE001 - likewise
            return {"raised": describe_exception(error)}

    def _encode(self, tag, value):
        objects = self.call.objects if self.call else ()
        encoder = value_codec.Encoder(objects, number_iterator=self._number)
        changes = self.call.encode_changes(encoder) if self.call else None
        form = encoder.encode(value) if tag == "value" else describe_exception(value, encoder)
        return {tag: form} if changes is None else {tag: form, "changed": changes}

    def _number(self, iterator):
        number = self.numbers.setdefault(id(iterator), len(self.iterators))
        if number == len(self.iterators):
            self.iterators.append((iterator, self.call))
            if self.call is not None:
                self.call.copy_arguments()
        return number


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
            self.write({"started": True})
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
        caller = Caller(function)
        for call in self.plan.calls:
            self.write(caller.answer(call))
        if self.live:
            with open(self.inlet, "rb", closefd=False) as lines:
                for line in lines:
                    self.write(caller.answer(line))

    def write(self, answer):
        """Writes an answer; blocks while the pipe is full."""
        rest = to_json_line(answer)
        count = os.write(self.outlet, rest)
        while count < len(rest):
            rest = rest[count:]
            count = os.write(self.outlet, rest)


def to_json_line(answer):
    """Returns the answer as a line of JSON, in bytes; escapes would join two lone surrogates."""
    text = value_codec.call_deeply(_ENCODER.encode, answer)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def load_function(code, namespace, entry_point):
    """Runs the program's code in `namespace` and returns the function to call."""
    exec(code, namespace)
    if entry_point not in namespace:
        raise NameError(f"name {entry_point!r} is not defined")
    return namespace[entry_point]


def describe_exception(error, encoder=None):
    """Returns the nearest builtin class's name, the class's own, the message, and errno or None.

    With an encoder it also has module and name of its classes, its args and its attributes.
    """
    classes = type(error).__mro__
    builtin = next(base for base in classes if base.__module__ == "builtins")
    try:
        message = str(error)[:300]
    except BaseException:  # noqa: BLE001 - whatever its __str__ raises
        message = "(its message can't be read)"
    number = getattr(error, "errno", None)
    names = [builtin.__name__, type(error).__name__[:100], message]
    description = [*names, number if type(number) is int else None]
    if encoder is not None:
        own = [[c.__module__, c.__name__] for c in classes[: classes.index(builtin)]]
        # The args of an OSError lack its file names.
        args = OSError.__reduce__(error)[1] if isinstance(error, OSError) else error.args
        description.append([own, encoder.encode(args), encoder.encode(dict(vars(error)))])
    return description


def warm_up():
    """Runs a program of ours, so that the interpreter fills its caches before it forks others."""
    code = compile("def f(*values): return values", "warm-up", "exec")
    for _ in range(_WARM_RUNS):
        Program(CallPlan(_WARM_PLAN), 0, 1, live=False).answer_calls(code)  # 1 is /dev/null
    del sys.modules["program"]
