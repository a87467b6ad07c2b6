"""The template: a warm Python process that no program runs in, and every program is a fork of.

It does nothing but fork. All it touches between two forks is memory that the kernel must copy, so
reading frames, watching clocks and relaying answers are left to the fork server, which is never
forked once the template is there. The programs' processes are children of the fork server.
"""

import _socket
import gc
import importlib
import os
import signal
import struct
import sys

from codex_jax.evaluate.sandbox.guest import confine, program, server_io

_SET_CALLS, _IMPORT, _FORK, _WAIT = 1, 2, 3, 4
# Order, live, uid or pid, number of bytes: that follow here, or of code in the inlet.
_ORDER = struct.Struct("=BBIQ")
_PID = struct.Struct("=i")
_EXIT = struct.Struct("=id")  # status, CPU seconds
_TWO_DESCRIPTORS = struct.Struct("=2i")
_RIGHTS_BYTES = _socket.CMSG_LEN(_TWO_DESCRIPTORS.size)
_RIGHTS = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)


class Template:
    """The fork server's handle of the template.

    Args:
      inherited: descriptors that no program may hold.
    """

    def __init__(self, inherited):
        self.inherited = inherited
        self.imported = set()
        self.channel = self.pid = None

    def start(self):
        """Forks the template from this process."""
        self.channel, template_end = _socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.channel.close()
                for descriptor in self.inherited:
                    os.close(descriptor)
                _serve(template_end)
            finally:
                os._exit(0)
        template_end.close()

    def set_calls(self, body):
        """Sets the CallPlan of the next programs."""
        self.channel.sendall(_ORDER.pack(_SET_CALLS, 0, 0, len(body)) + body)

    def preload(self, names):
        """Imports modules, for all programs to find them imported."""
        if names := names - self.imported:
            self.imported |= names
            body = " ".join(sorted(names)).encode()
            self.channel.sendall(_ORDER.pack(_IMPORT, 0, 0, len(body)) + body)

    def fork(self, inlet, outlet, size, uid, *, live):
        """Starts a program that reads `size` bytes of code from `inlet`; returns its pid."""
        descriptors = (*_RIGHTS, _TWO_DESCRIPTORS.pack(inlet, outlet))
        self.channel.sendmsg([_ORDER.pack(_FORK, live, uid, size)], [descriptors])
        return self._receive(_PID)[0]

    def kill(self, pid):
        """Ends a program and all that it started; returns its (status, CPU seconds)."""
        os.kill(pid, signal.SIGKILL)
        try:
            return _wait(pid)
        except ChildProcessError:  # in gVisor it is the template's child
            self.channel.sendall(_ORDER.pack(_WAIT, 0, pid, 0))
            return self._receive(_EXIT)

    def _receive(self, layout):
        reply = self.channel.recv(layout.size)
        if len(reply) < layout.size:
            os._exit(0)  # without a template there is nothing to serve
        return layout.unpack(reply)


def _wait(pid):
    _, status, usage = os.wait4(pid, 0)
    return status, usage.ru_utime + usage.ru_stime


def _serve(channel):
    """Obeys orders until the fork server is gone; in a forked child, runs the program."""
    descriptor, plan = channel.fileno(), None
    gc.collect()
    gc.disable()  # a collection would write to memory that is shared with the programs
    gc.freeze()
    while True:
        head, ancillary = channel.recvmsg(_ORDER.size, _RIGHTS_BYTES, _socket.MSG_CMSG_CLOEXEC)[:2]
        if len(head) < _ORDER.size:
            return
        order, live, number, size = _ORDER.unpack(head)
        if order == _FORK:
            inlet, outlet = _TWO_DESCRIPTORS.unpack(ancillary[0][2])
            pid = confine.fork_in_namespaces(sibling=True)
            if pid == 0:
                os.close(descriptor)
                program.Program(plan, inlet, outlet, live=live).run(size, number)
            os.close(inlet)
            os.close(outlet)
            channel.send(_PID.pack(pid))
            continue
        if order == _WAIT:
            channel.send(_EXIT.pack(*_wait(number)))
            continue
        body = server_io.read_exact(descriptor, size)
        if order == _SET_CALLS:
            plan = program.CallPlan(body)
        else:
            for name in body.decode().split():
                if name not in sys.modules:
                    importlib.import_module(name)
        gc.freeze()
