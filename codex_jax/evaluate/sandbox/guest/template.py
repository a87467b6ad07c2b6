"""The template: a warm Python process that no program runs in, and every program is a fork of.

It does nothing but fork, and sleeps until the program has ended. All it touches between two forks
is memory that the kernel must copy, so reading frames, watching clocks and relaying answers are
left to the fork server, which is never forked once the template is there.
"""

import _socket
import contextlib
import ctypes
import gc
import importlib
import mmap
import os
import select
import signal
import struct
import sys

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import confine, program, server_io

_SET_CALLS, _IMPORT, _FORK = 1, 2, 3
# Order, live, uid, number of bytes: that follow here, or of code in the inlet.
_ORDER = struct.Struct("=BBIQ")
_EXIT = struct.Struct("=id")  # status, CPU seconds
_TWO_DESCRIPTORS = struct.Struct("=2i")
_RIGHTS_BYTES = _socket.CMSG_LEN(_TWO_DESCRIPTORS.size)
_RIGHTS = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
_MADV_DONTFORK = 10


class Template:
    """The fork server's handle of the template.

    Args:
      inherited: descriptors that no program may hold.
      own_ipc: whether programs have IPC namespaces of their own.
    """

    def __init__(self, inherited, *, own_ipc):
        self.inherited, self.own_ipc, self.imported = inherited, own_ipc, set()
        self.channel = self.pid = None
        self._page = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the template, not with programs
        self.program_pid = ctypes.c_int.from_buffer(self._page)

    def start(self, packages=()):
        """Forks the template from this process; it imports the packages, if it can."""
        self.channel, template_end = _socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.channel.close()
                for descriptor in self.inherited:
                    os.close(descriptor)
                self._page.madvise(_MADV_DONTFORK)
                _import_packages(packages)
                fork = {"pid_address": ctypes.addressof(self.program_pid), "own_ipc": self.own_ipc}
                _serve(template_end, fork)
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
        """Starts a program that reads `size` bytes of code from `inlet`; `kill` must follow."""
        self.program_pid.value = 0
        descriptors = (*_RIGHTS, _TWO_DESCRIPTORS.pack(inlet, outlet))
        self.channel.sendall(_ORDER.pack(_FORK, live, uid, size))
        self.channel.sendmsg([b"."], [descriptors])  # for the program: the template holds no pipe

    def kill(self):
        """Ends the program and all that it started; returns its (status, CPU seconds)."""
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        while not (self.program_pid.value or poll.poll(1)):
            pass  # the template has not forked yet: a kill now would miss the program
        with contextlib.suppress(ProcessLookupError):  # it has ended
            if pid := self.program_pid.value:
                os.kill(pid, signal.SIGKILL)
        reply = self.channel.recv(_EXIT.size)
        if len(reply) < _EXIT.size:
            os._exit(0)  # without a template there is nothing to serve
        return _EXIT.unpack(reply)


def _import_packages(names):
    if names:
        sys.path.append(protocol.PACKAGES)
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process of several threads can't be forked
        for name in names:
            with contextlib.suppress(Exception):  # whatever a package raises: a probe reports it
                importlib.import_module(name)
        os.environ.clear()


def _serve(channel, fork):
    """Obeys orders until the fork server is gone; in a forked child, runs the program.

    Args:
      channel: socket to the fork server.
      fork: arguments of every fork.
    """
    descriptor, plan = channel.fileno(), None
    program.warm_up()
    gc.collect()
    gc.disable()  # a collection would write to memory that is shared with the programs
    gc.freeze()
    while True:
        order, live, uid, size = _ORDER.unpack(server_io.read_exact(descriptor, _ORDER.size))
        if order == _FORK:
            pid = confine.fork_in_namespaces(**fork)
            if pid == 0:
                ancillary = channel.recvmsg(1, _RIGHTS_BYTES, _socket.MSG_CMSG_CLOEXEC)[1]
                os.close(descriptor)
                inlet, outlet = _TWO_DESCRIPTORS.unpack(ancillary[0][2])
                program.Program(plan, inlet, outlet, live=live).run(size, uid)
            _, status, usage = os.wait4(pid, 0)
            if status:  # it may have been killed before it read its pipes
                with contextlib.suppress(BlockingIOError):
                    channel.recv(1, _socket.MSG_DONTWAIT)
            channel.send(_EXIT.pack(status, usage.ru_utime + usage.ru_stime))
            continue
        body = server_io.read_exact(descriptor, size)
        if order == _SET_CALLS:
            plan = program.CallPlan(body)
        else:
            for name in body.decode().split():
                if name not in sys.modules:
                    importlib.import_module(name)
        gc.freeze()
