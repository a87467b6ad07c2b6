"""Relays calls and answers between one running program and the host, and ends the program."""

import os
import select
import time

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import server_io

_FIRST_POLL_S = 0.05  # before the first look at the answers of a program that hasn't ended
_POLL_GROWTH = 3
_MANY_BYTES = 1 << 14  # in the pipe at such a look: from then on it is read as it fills
_PIPE_BYTES = 1 << 16


class Relay:
    """Watches one program until it ends or exceeds a limit.

    Args:
      server: the ForkServer.
      calls: pipe to the program.
      answers: pipe from the program.
      limits: its limits.
      live: whether the host waits for answers while it runs.
    """

    def __init__(self, server, calls, answers, limits, *, live):
        self.server, self.calls, self.answers = server, calls, answers
        self.limits, self.remaining_bytes = limits, limits["answer_mb"] << 20
        self.clock = server_io.Clock(server, limits["cpu_s"])
        self.poll_interval_s = _FIRST_POLL_S
        self.poll_due = self.clock.start + _FIRST_POLL_S
        self.reason = ""  # of its end, if decided here
        self.live, self.has_answered = live, False
        self.poll = select.poll()
        # Answers alone wake nobody while the host needs no answer before the end.
        self.poll.register(answers, select.POLLIN if live else 0)
        self.poll.register(server.inbox, select.POLLIN)
        os.set_blocking(answers, False)

    def until_end(self):
        """Relays until the end; returns how it ended and its last answers."""
        while not self.reason:
            timeout_s = max(0.0, min(self.clock.due, self.poll_due) - time.monotonic())
            for descriptor, events in self.poll.poll(1000 * timeout_s + 1):
                if descriptor == self.server.inbox:
                    self._read_message()
                elif events & select.POLLIN and not events & select.POLLHUP:
                    self._relay_answers()
                else:
                    self.reason = self.reason or "closed"
            self._check_clocks()
        status, cpu_s = self.server.template.kill()
        last = self._read_answers()
        return {
            "reason": self.reason,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            "cpu_s": cpu_s,
            "wall_s": time.monotonic() - self.clock.start,
            "full": self.remaining_bytes < 0,
        }, last

    def _read_message(self):
        message, body = server_io.read_frame(self.server.inbox)
        if message == protocol.END:
            self.reason = "ended"
        elif message == protocol.EXPIRE:
            self.reason = "cpu"
        elif message == protocol.CALL:
            self._pass_call(memoryview(body))

    def _pass_call(self, rest):
        """Passes a call on; a program that never reads blocks this process for a while only."""
        os.set_blocking(self.calls, False)
        deadline = time.monotonic() + 2 * self.limits["cpu_s"]
        while rest and time.monotonic() < deadline:
            try:
                rest = rest[os.write(self.calls, rest) :]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:  # it is exiting; its end is read next
                return

    def _read_answers(self):
        """Returns what is in the pipe; sets the reason once it is more than the limit."""
        parts = []
        while self.remaining_bytes >= 0:
            try:
                part = os.read(self.answers, _PIPE_BYTES)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
            self.remaining_bytes -= len(part)
        if self.remaining_bytes < 0:
            self.reason = self.reason or "output"
        return b"".join(parts)

    def _relay_answers(self):
        answers = self._read_answers()
        if answers:
            self.has_answered = True
            server_io.write_frame(self.server.outbox, protocol.ANSWERS, answers)
        return len(answers)

    def _check_clocks(self):
        """Ends the program at its limits."""
        now = time.monotonic()
        if now >= self.poll_due:
            if self._relay_answers() >= _MANY_BYTES:
                self.poll.modify(self.answers, select.POLLIN)
            self.poll_interval_s *= _POLL_GROWTH
            self.poll_due = now + self.poll_interval_s
        if now >= self.clock.due and not self.reason:
            pid, awaits = self.server.template.program_pid.value, self.live and self.has_answered
            self.reason = self.clock.look(pid, is_awaiting_call=awaits)
