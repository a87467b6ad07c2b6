"""The fork server for Python: compiles sources, and has each run in a process of its own.

Its messages are those of sandbox/protocol.py. It compiles and never runs anything; programs are
forks of the template (template.py), which holds neither sources nor answers, so that a program
inherits nothing of another one. A program has two pipes to this process, and whatever it writes is
passed on as its answers.
"""

import contextlib
import gc
import json
import os
import resource
import sys

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import (
    cleanup,
    compiler,
    confine,
    relay,
    server_io,
    template,
)

_LOW_UID, _UIDS = 20_000, 40_000
_MAX_GROWTH_KB = 1 << 16  # of this process, by compiling, before it asks to be replaced


class ForkServer:
    """Answers the host's messages; holds the two pipes to it, which no program inherits."""

    def __init__(self, settings, inbox, outbox):
        self.settings, self.inbox, self.outbox = settings, inbox, outbox
        self.template = template.Template((inbox, outbox), own_ipc=not settings["seccomp"])
        self.limits, self.code, self.runs = settings["limits"], b"", 0
        self.scratch = cleanup.Scratch()

    def start(self):
        """Starts the template, and gives up what only the template needs."""
        names = [description.split()[0] for description in self.limits.get("packages", ())]
        self.template.start(names)
        confine.set_rlimits({**self.settings["limits"], "cpu_s": 1 << 30})
        confine.drop_privileges(0, keep_kill=self.settings["own_uid"])
        self.start_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def serve(self):
        """Answers messages until the host closes its end."""
        hello = json.dumps({"python": sys.version.split()[0]})
        server_io.write_frame(self.outbox, protocol.HELLO, hello.encode())
        while True:
            message, body = server_io.read_frame(self.inbox)
            if message == protocol.COMPILE:
                self.compile(body)
            elif message == protocol.SET_CALLS:
                self.set_calls(body)
            elif message in (protocol.RUN, protocol.RUN_LIVE):
                self.run(live=message == protocol.RUN_LIVE)

    def compile(self, source):
        """Compiles a source and keeps its code for RUN."""
        try:
            digest, self.code, modules = compiler.compile_source(source)
        except compiler.CompileError as error:
            message, body = protocol.SYNTAX_ERROR, str(error).encode("utf-8", "replace")
        else:
            message, body = protocol.COMPILED, digest
            self.template.preload(modules)
        size_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        is_worn = size_kb > self.start_kb + _MAX_GROWTH_KB
        server_io.write_frame(self.outbox, message, protocol.COMPILE_RESULT.pack(is_worn), body)

    def set_calls(self, body):
        """Sets entry point, calls and limits of the next programs."""
        self.limits = json.loads(body)["limits"]
        self.template.set_calls(body)

    def run(self, *, live):
        """Runs the code compiled last and reports how it ended."""
        self.runs += 1
        uid = _LOW_UID + self.runs % _UIDS if self.settings["own_uid"] else 0
        inlet, calls = os.pipe()
        answers, outlet = os.pipe()
        self.template.fork(inlet, outlet, len(self.code), uid, live=live)
        os.close(inlet)
        os.close(outlet)
        with contextlib.suppress(OSError):  # it has exited; the relay reads how
            server_io.write_all(calls, self.code)
        watch = relay.Relay(self, calls, answers, self.limits, live=live)
        end, last = watch.until_end()
        os.close(calls)
        os.close(answers)
        end["dirty"] = not self.scratch.restore()
        head = json.dumps(end).encode() + b"\n"
        server_io.write_frame(self.outbox, protocol.ENDED, head, last)


def main():
    """Starts the fork server on its standard input and output."""
    server = ForkServer(*server_io.open_protocol())
    server.start()
    gc.freeze()
    server.serve()


if __name__ == "__main__":
    main()
