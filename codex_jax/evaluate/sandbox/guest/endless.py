"""Proof that a tame program runs for ever: the same state twice in one loop.

A tame program depends on its own values alone. Where all that its next steps can depend on has
been the same before, within one loop of one call, it will be so again and again, and needn't be
waited for. Looked at, for a moment now and then, are the while loops of calls that go on: their
locals and the program's globals, with all that these lead to, and which of them are one thing.
What may hide a state (sets, iterators, ...) is no proof; numbers that the loop only adds to are
left aside. Cycles are found by Brent's search (BIT 20, 1980).
"""

import sys
import time
import types
from _signal import ITIMER_VIRTUAL, SIGVTALRM, getitimer, setitimer, signal

from codex_jax.evaluate.sandbox.guest import loops  # handed over beside this text

_PAUSE_S, _LOOK_S = 0.02, 0.02  # of CPU, in turns
_LARGEST = 5000  # things in a state
_GENERATORS = 0x20  # other calls go on while these wait
_PLAIN = (int, bool, str, bytes, complex, type(None), type(NotImplemented))
_FIXED = (type, range, types.ModuleType, types.MethodDescriptorType)


class Watch:
    """Looks at one running program after the other."""

    def __init__(self):
        self.world = self.proved = None
        self.looking, self.until = False, 0.0
        signal(SIGVTALRM, self.look)

    def start(self, world, proved):
        """`proved`, which must not return, is called in the midst of the program, with a line
        that it will come back to for ever."""
        self.world, self.proved, self.looking = world, proved, False
        setitimer(ITIMER_VIRTUAL, _PAUSE_S)

    def stop(self):
        """False where looking may have had a part in what the program did: it has no stack or
        memory of its own, so that an exception may have met it rather than the program."""
        left, traced = getitimer(ITIMER_VIRTUAL)[0], sys.gettrace()
        setitimer(ITIMER_VIRTUAL, 0)
        sys.settrace(None)
        self.world = self.proved = None
        return traced == self.enter if self.looking else left > 0

    def look(self, _, frame):
        """By signal: has the calls that are going on traced, if there is a loop in any."""
        self.until, known, found = time.process_time() + _LOOK_S, {}, False
        while frame and self.world is not None:
            code = frame.f_code
            if frame.f_globals is self.world and not code.co_flags & _GENERATORS:
                if code not in known:
                    known[code] = loops.places(code)
                if known[code]:
                    frame.f_trace, found = Call(self, known[code]), True
                    frame.f_trace_lines, frame.f_trace_opcodes = False, True
            frame = frame.f_back
        if found:
            sys.settrace(self.enter)
            self.looking = True
        else:
            self.rest()

    def enter(self, *_):
        """Calls made from now on aren't looked at: they end, or will be going on next time."""

    def rest(self):
        sys.settrace(None)
        self.looking = False
        if self.world is not None:
            setitimer(ITIMER_VIRTUAL, _PAUSE_S)


class Call:
    """One call that is going on: a trace function that remembers one state of it."""

    def __init__(self, watch, places):
        self.watch, self.places = watch, places
        self.visits, self.due, self.kept = 0, 1, None
        self.place = self.head = self.tail = 0

    def __call__(self, frame, event, _):
        if time.process_time() > self.watch.until:
            return self.watch.rest()
        if event == "opcode":
            self.visit(frame, frame.f_lasti)
        return self

    def visit(self, frame, place):
        if not self.head <= place <= self.tail:
            self.kept = None  # its loop was left
        if place not in self.places:
            return
        self.visits += 1
        head, tail, summed = self.places[place]
        if self.kept and place == self.place and state(frame, summed) == self.kept:
            self.watch.proved(frame.f_lineno)
        if self.kept is None or self.visits >= self.due:
            self.place, self.head, self.tail = place, head, tail
            self.kept, self.due = state(frame, summed), 2 * self.visits


def state(frame, summed):
    """All that the frame's next steps can depend on, but for the values of `summed`, in a list;
    None where that can't be told."""
    told, known, world = [], {}, frame.f_globals
    waiting = [*world, *(value for name, value in world.items() if name != "__builtins__")]
    if frame.f_locals is not world:
        for name, value in frame.f_locals.items():
            aside = name in summed and type(value) in (int, float)
            waiting += name, type(value) if aside else value
    while waiting:
        if len(told) + len(waiting) > _LARGEST:
            return None
        thing = waiting.pop()
        kind = type(thing)
        told.append(kind)
        if kind in _PLAIN:
            told.append(thing)
        elif kind is float:
            told.append(thing.hex())
        elif id(thing) in known:
            told.append(known[id(thing)])
        else:
            known[id(thing)] = len(known)
            if not _told(thing, kind, world, told, waiting):
                return None
    return told


def _told(thing, kind, world, told, waiting):
    if kind in (list, tuple):
        told.append(len(thing))
        waiting += thing
    elif kind is dict:
        told.append(len(thing))
        waiting += [*thing, *thing.values()]
    elif kind is types.FunctionType and thing.__globals__ is world:
        told.append(thing.__code__)
        waiting += thing.__defaults__, thing.__kwdefaults__, thing.__closure__
    elif kind is types.CellType:
        waiting += [thing.cell_contents] if thing != types.CellType() else []
    elif kind is types.BuiltinFunctionType:
        told.append(thing.__name__)
        waiting.append(thing.__self__)
    elif kind in _FIXED or kind is types.FunctionType or kind.__module__ == "typing":
        told.append(thing)
    else:
        return False
    return True
