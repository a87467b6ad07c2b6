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
import struct
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
        self.limits, self.runs = settings["limits"], 0
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
            if message == protocol.SET_CALLS:
                self.set_calls(body)
            elif message == protocol.RUN:
                self.run(body)

    def set_calls(self, body):
        """Sets entry point, calls and limits of the next programs."""
        self.limits = json.loads(body.partition(b"\n")[0])["limits"]
        self.template.set_calls(body)

    def run(self, body):
        """Compiles a source and runs it, unless its digest is one of those before it."""
        live, count = protocol.RUN_HEAD.unpack_from(body)
        digests = struct.Struct(f"{protocol.DIGEST_BYTES}s" * count)
        judged = digests.unpack_from(body, protocol.RUN_HEAD.size)
        source = body[protocol.RUN_HEAD.size + digests.size :]
        try:
            digest, code, modules = compiler.compile_source(source)
        except compiler.CompileError as error:
            self.refuse(protocol.SYNTAX_ERROR, str(error).encode("utf-8", "replace"))
            return
        if digest in judged:
            self.refuse(protocol.EQUAL, digest)
            return
        self.template.preload(modules)
        end, last = self.watch(code, live=live)
        end["digest"], end["dirty"] = digest.hex(), not self.scratch.restore() or self.is_worn()
        server_io.write_frame(self.outbox, protocol.ENDED, json.dumps(end).encode() + b"\n", last)

    def refuse(self, message, reason):
        """Says why a program isn't run."""
        head = protocol.IS_WORN.pack(self.is_worn())
        server_io.write_frame(self.outbox, message, head, reason)

    def is_worn(self):
        """Whether compiling has used up much memory."""
        size_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size_kb > self.start_kb + _MAX_GROWTH_KB

    def watch(self, code, *, live):
        """Runs code in a process of its own; returns how it ended and its last answers."""
        self.runs += 1
        uid = _LOW_UID + self.runs % _UIDS if self.settings["own_uid"] else 0
        inlet, calls = os.pipe()
        answers, outlet = os.pipe()
        self.template.fork(inlet, outlet, len(code), uid, live=live)
        os.close(inlet)
        os.close(outlet)
        with contextlib.suppress(OSError):  # it has exited; the relay reads how
            server_io.write_all(calls, code)
        end, last = relay.Relay(self, calls, answers, self.limits, live=live).until_end()
        os.close(calls)
        os.close(answers)
        return end, last


def main():
    """Starts the fork server on its standard input and output."""
    server = ForkServer(*server_io.open_protocol())
    server.start()
    gc.freeze()
    server.serve()


if __name__ == "__main__":
    main()
