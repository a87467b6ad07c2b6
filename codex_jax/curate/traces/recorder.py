"""Recorder of calls, loaded into the process that runs a package's tests; needs nothing else.

It writes a line of JSON as each call returns: module, function, arguments as they were before the
call, and value, all as literals. Builtins are bound when it is loaded, and it is installed again
before each test, since tests replace both.
"""

import json
import os
import sys
import threading

RESULTS = 3  # descriptor that the host reads
MOST_CALLS = 40  # of one function
_MOST_SEEN = 4000  # calls of one function that are looked at
_MAX_TEXT = 2000
_MAX_DEPTH = 6
_MAX_ITEMS = 200
_MOST_YIELDED = 200
_GENERATOR, _COROUTINE = 0x20, 0x80 | 0x100 | 0x200
_repr, _type, _len, _str, _isinstance, _id = repr, type, len, str, isinstance, id
_dumps, _write, _setprofile, _get_frame = json.dumps, os.write, sys.setprofile, sys._getframe
_SCALARS = (_type(None), bool, int, float, str, bytes)
_CONTAINERS = (list, tuple, set, frozenset)
_any = any


def is_plain(value, depth=0):
    """Whether a value is made of builtins only, and isn't large."""
    type_of = _type(value)
    if type_of in _SCALARS:
        if type_of is float:
            return value == value and value not in (float("inf"), float("-inf"))
        return type_of in (_type(None), bool, int) or _len(value) < _MAX_TEXT
    if depth >= _MAX_DEPTH:
        return False
    if type_of is dict:
        if _len(value) > _MAX_ITEMS:
            return False
        for key in list(value):
            if not is_plain(key, depth + 1) or not is_plain(value[key], depth + 1):
                return False
        return True
    if type_of in _CONTAINERS and _len(value) <= _MAX_ITEMS:
        return not _any(not is_plain(item, depth + 1) for item in value)
    return False


def to_text(value):
    """Returns the literal of a plain value, "" for another one or a long one."""
    try:
        if not is_plain(value):
            return ""
        text = _repr(value)
    except Exception:  # noqa: BLE001 - an integer of too many digits, or a container that changes
        return ""
    return text if _len(text) <= _MAX_TEXT else ""


class Recorder:
    """Records calls of top-level functions of some packages.

    Args:
      roots: First words of the names of the modules to record.
      write: Gets each record, as bytes.
    """

    def __init__(self, roots, write=None):
        self.roots = frozenset(roots)
        self.results = RESULTS
        self.write = write or _write_all
        self.functions = {}  # id of a code → [module, name, seen, texts], or None
        self.codes = []  # whose ids stay theirs; equal codes of two modules are two
        self.open = {}  # id of a frame → [arguments, yielded values]

    def describe(self, frame):
        """Returns the entry of the frame's function; None if it isn't recorded."""
        code = frame.f_code
        if _id(code) in self.functions:
            return self.functions[_id(code)]
        module = frame.f_globals.get("__name__", "")
        is_function = code.co_qualname == code.co_name if hasattr(code, "co_qualname") else True
        is_recorded = (
            _type(module) is _str
            and module.partition(".")[0] in self.roots
            and is_function
            and not code.co_name.startswith("<")
            and not code.co_flags & _COROUTINE
        )
        entry = [module, code.co_name, 0, set()] if is_recorded else None
        self.functions[_id(code)] = entry
        self.codes.append(code)
        return entry

    def begin(self, frame):
        """Copies the arguments of a call that begins."""
        entry = self.describe(frame)
        self.open.pop(_id(frame), None)  # of a frame that was here before
        if entry is None:
            return
        entry[2] += 1
        if entry[2] > _MOST_SEEN or _len(entry[3]) >= MOST_CALLS:
            self.functions[_id(frame.f_code)] = None
            return
        arguments = self.arguments(frame)
        if arguments is not None:
            self.open[_id(frame)] = [arguments, []]

    @staticmethod
    def arguments(frame):
        """Returns [positional texts, named texts], or None if one isn't plain."""
        code, values = frame.f_code, frame.f_locals
        count, named_count = code.co_argcount, code.co_kwonlyargcount
        names = code.co_varnames
        positional = [values.get(name, values) for name in names[:count]]
        index = count + named_count
        if code.co_flags & 0x04:
            positional += values.get(names[index], ())
            index += 1
        named = {name: values.get(name, values) for name in names[count : count + named_count]}
        if code.co_flags & 0x08:
            named.update(values.get(names[index], {}))
        texts = [to_text(value) for value in positional]
        named_texts = {name: to_text(value) for name, value in named.items()}
        if not all(texts) or not all(named_texts.values()):
            return None
        return [texts, named_texts]

    def pause(self, frame, value):
        """Adds a value that a generator yields."""
        call = self.open.get(_id(frame))
        if call is not None and _len(call[1]) < _MOST_YIELDED:
            call[1].append(to_text(value))
        else:
            self.drop(frame)

    def drop(self, frame):
        """Forgets a call that ends by an exception."""
        self.open.pop(_id(frame), None)

    def finish(self, frame, value):
        """Writes a call that returns."""
        call = self.open.pop(_id(frame), None)
        entry = self.functions.get(_id(frame.f_code))
        if call is None or entry is None:
            return
        if frame.f_code.co_flags & _GENERATOR:
            text = "[" + ", ".join(call[1]) + "]" if all(call[1]) else ""
        else:
            text = to_text(value)
        key = _repr(call[0])
        if not text or key in entry[3]:
            return
        entry[3].add(key)
        record = {
            "module": entry[0],
            "name": entry[1],
            "arguments": call[0][0],
            "named": call[0][1],
            "value": text,
        }
        self.write(_dumps(record).encode() + b"\n")

    def profile(self, frame, event, value):
        """Handles an event of sys.setprofile, on Pythons without sys.monitoring."""
        if event == "call":
            code, at = frame.f_code, frame.f_lasti
            if self.functions.get(_id(code), 0) is None:
                return
            if code.co_code[at] not in _RESUMES:
                self.drop(frame)  # an exception is thrown into a generator
            elif code.co_code[at + 1] & 3 == 0:  # else a generator goes on
                self.begin(frame)
        elif event == "return" and _id(frame) in self.open:
            code = frame.f_code
            last = code.co_code[frame.f_lasti]
            if last in _YIELDS:
                self.pause(frame, value)
            elif last in _RETURNS:
                self.finish(frame, value)
            elif last not in _CREATIONS:
                self.drop(frame)  # its frame ends by an exception: `value` is None

    def install(self):
        """Installs it in this thread and those to come."""
        if hasattr(sys, "monitoring"):
            self._monitor()
        else:
            threading.setprofile(self.profile)
            _setprofile(self.profile)

    def _monitor(self):
        monitoring, tool = sys.monitoring, sys.monitoring.PROFILER_ID
        if monitoring.get_tool(tool) is not None:
            monitoring.free_tool_id(tool)
        monitoring.use_tool_id(tool, "codex_jax recorder")
        events = monitoring.events

        def start(code, _):
            if self.functions.get(_id(code), 0) is None:
                return monitoring.DISABLE
            self.begin(_get_frame(1))
            return None

        def end(action):
            def call(code, _, value):
                if self.functions.get(_id(code)) is not None:
                    action(_get_frame(1), value)

            return call

        monitoring.register_callback(tool, events.PY_START, start)
        monitoring.register_callback(tool, events.PY_RETURN, end(self.finish))
        monitoring.register_callback(tool, events.PY_YIELD, end(self.pause))
        drop = end(lambda frame, _: self.drop(frame))
        monitoring.register_callback(tool, events.PY_UNWIND, drop)
        monitoring.register_callback(tool, events.PY_THROW, drop)
        ends = events.PY_RETURN | events.PY_YIELD | events.PY_UNWIND | events.PY_THROW
        monitoring.set_events(tool, events.PY_START | ends)


def _write_all(data):
    while data:
        data = data[_write(RESULTS, data) :]


def _opcodes(*names):
    import opcode

    return tuple(opcode.opmap[name] for name in names if name in opcode.opmap)


_RETURNS = _opcodes("RETURN_VALUE", "RETURN_CONST")
_YIELDS = _opcodes("YIELD_VALUE")
_RESUMES = _opcodes("RESUME")
_CREATIONS = _opcodes("RETURN_GENERATOR")
