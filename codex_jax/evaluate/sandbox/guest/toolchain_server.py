"""The fork server for languages other than Python: compilers and programs, each in a process apart.

Frames as in the Python one. In: M make (write files, run commands or ask a compiler kept warm); W
write what was made before; R run a program; C another call for it; E end it. Out: H hello; G how
the making went; B what it left: a line of JSON, name to size, then the files; A bytes the program
answered; X how it ended.

A compiler kept warm reads sources and never runs them; it lives as long as the sandbox, under
limits of its own, and is replaced where it has fallen silent.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

from codex_jax.evaluate.sandbox.guest import confine, server_io  # handed over beside this text

_LOW_UID, _UIDS = 20_000, 40_000
_HOME = "/tmp"
_SAID = 4096  # bytes kept of each end of what a program prints
_HUGE_MB = 1 << 20
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": _HOME,
    "TMPDIR": _HOME,
    "LANG": "C.UTF-8",
}


class Workshop:
    """Holds the two protocol pipes, which no program inherits."""

    def __init__(self, settings, inbox, outbox):
        self.settings, self.inbox, self.outbox = settings, inbox, outbox
        self.runs = 0
        self.servers = {}

    def send(self, operation, body=b""):
        rest = memoryview(operation + struct.pack(">I", len(body)) + body)
        while rest:
            rest = rest[os.write(self.outbox, rest) :]

    def receive(self):
        """The next frame; the outside closing its end is the order to die, children and all."""
        head = server_io.exactly(self.inbox, 5)
        return head[:1], server_io.exactly(self.inbox, struct.unpack(">I", head[1:])[0])

    def serve(self):
        self.send(b"H", json.dumps({"python": sys.version.split()[0]}).encode())
        while True:
            operation, body = self.receive()
            if operation == b"M":
                self.make(json.loads(body))
            elif operation == b"W":
                self.put(body)
            elif operation == b"R":
                self.run(json.loads(body))

    def make(self, job):
        """Leaves the products in /tmp; the sources are gone where there is something to run.

        What it sends of the products, up to so many bytes, no program has been near."""
        tidied = server_io.tidied()
        for name, text in job["files"].items():
            with open(os.path.join(_HOME, name), "w", encoding="utf-8", newline="") as file:
                file.write(text)
        end = {"ok": True, "said": "", "cpu_s": 0.0, "why": "", "dirty": not tidied}
        for step in job["steps"]:
            asked = self.ask(job, step) if "server" in step else self.command(job, step)
            end = {**end, **asked, "cpu_s": end["cpu_s"] + asked["cpu_s"]}
            if not end["ok"]:
                break
        self.send(b"G", json.dumps(end).encode())
        if end["ok"] and job["products"]:
            self.send(b"B", _packed(job["files"], job["products"]))
        if job["steps"]:  # a program needn't read its tests
            for name in job["files"]:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(_HOME, name))

    def put(self, body):
        tidied = server_io.tidied()
        head, _, rest = body.partition(b"\n")
        for name, size in json.loads(head).items():
            with open(os.path.join(_HOME, name), "wb") as file:
                file.write(rest[:size])
            os.chmod(file.name, 0o755)
            rest = rest[size:]
        self.send(b"G", json.dumps({"ok": True, "dirty": not tidied}).encode())

    def command(self, job, step):
        given = {"argv": step["argv"], "limits": job["limits"], "env": job["env"], "fd": 1}
        child = Child(self, given, mixed=True)
        end = child.until_end()
        end["ok"] = end["exit"] == 0 and end["why"] == "closed"
        return end

    def ask(self, job, step):
        """A compiler kept warm: {"ok": …, "said": …}; what makes it fall silent does so alone."""
        name = json.dumps(step["server"])
        if name not in self.servers:
            self.servers[name] = Server(self, step["server"], job["env"], job["limits"])
        try:
            return self.servers[name].answer(step, job["limits"]["cpu_s"])
        except (OSError, ValueError):
            server = self.servers.pop(name)
            spent = server.end()
            cpu_s = max(0.0, spent - server.spent)
            why = "cpu" if cpu_s >= job["limits"]["cpu_s"] else "closed"
            return {"ok": False, "said": "the compiler gave up", "cpu_s": cpu_s, "why": why}

    def run(self, job):
        child = Child(self, job)
        end = child.until_end(relay=True)
        end["dirty"] = not server_io.tidied()
        self.send(b"X", json.dumps(end).encode() + b"\n")

    def uid(self):
        self.runs += 1
        return _LOW_UID + self.runs % _UIDS if self.settings["own_uid"] else 0


def _spool(name):
    """A nameless file: read here, written to there."""
    path = os.path.join(_HOME, f".{name}")
    with contextlib.suppress(OSError):
        os.unlink(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    return descriptor


class Child:
    """A command under limits: calls on its standard input, answers on one descriptor."""

    def __init__(self, workshop, job, *, mixed=False):
        self.workshop, self.limits = workshop, job["limits"]
        self.room = self.limits["answer_mb"] << 20
        self.answers, self.said = bytearray(), _spool("said")
        self.why, self.start = "", time.monotonic()
        self.channel, theirs = socket.socketpair()
        calls = self._calls(job.get("calls"), theirs)
        uid = workshop.uid()
        self.pid = confine.fork_apart()
        if self.pid == 0:
            try:
                outputs = self._outputs(job["fd"], theirs.fileno(), mixed)
                _become([calls, *outputs], job, uid)
            finally:
                os._exit(71)
        if calls != theirs.fileno():
            os.close(calls)
        theirs.close()
        self.channel.settimeout(2 * self.limits["cpu_s"])
        self.cpu_due = self.start + self.limits["cpu_s"]

    def _calls(self, lines, theirs):
        """Calls foreseen lie in a file, so that no program can hold us up by not reading."""
        if lines is None:
            return theirs.fileno()
        descriptor = _spool("calls")
        with open(descriptor, "wb", closefd=False) as file:
            file.write("".join(line + "\n" for line in lines).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def _outputs(self, descriptor, theirs, mixed):
        """Descriptors 1, 2 and 3: the answers' is the channel, the others go to what is said."""
        null = os.open("/dev/null", os.O_WRONLY)
        if mixed:
            return [self.said, self.said, theirs]
        return [theirs, self.said, null] if descriptor == 1 else [self.said, self.said, theirs]

    def until_end(self, *, relay=False):
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        if relay:
            poll.register(self.workshop.inbox, select.POLLIN)
        while not self.why:
            patience_s = max(0.0, self.cpu_due - time.monotonic())
            for descriptor, _ in poll.poll(1000 * patience_s + 1):
                if descriptor == self.channel.fileno():
                    self._answered(relay)
                else:
                    self._told()
            self._check_clocks()
        return self._ended(relay)

    def _answered(self, relay):
        try:
            data = self.channel.recv(1 << 16)
        except OSError:
            data = b""
        self.room -= len(data)
        if not data:
            self.why = self.why or "closed"
        elif self.room < 0:
            self.why = "output"
        elif relay:
            self.workshop.send(b"A", data)

    def _told(self):
        operation, body = self.workshop.receive()
        if operation == b"E":
            self.why = "ended"
        elif operation == b"C":
            with contextlib.suppress(OSError):  # it is dying; its end is about to be read
                self.channel.sendall(body)

    def _check_clocks(self):
        """CPU time decides. Wall time ends sleepers, and what outlives even a busy machine."""
        now, limit = time.monotonic(), self.limits["cpu_s"]
        if now < self.cpu_due or self.why:
            return
        wall, cpu = now - self.start, server_io.cpu_s(self.pid)
        if cpu >= limit:
            self.why = "cpu"
        elif wall >= limit * (2 if cpu < 0.05 * wall else 10):
            self.why = "wall"
        self.cpu_due = now + max(0.05, min(limit - cpu, 0.5))

    def _ended(self, relay):
        """A command that has closed its channel is about to end by itself: it gets a moment."""
        status, usage = self._reaped(2.0 if self.why == "closed" else 0.0)
        while relay and self.room >= 0 and select.select([self.channel], [], [], 0)[0]:
            before = self.room
            self._answered(relay)
            if self.room == before:
                break
        self.channel.close()
        said = _ends_of(self.said)
        os.close(self.said)
        return {
            "why": self.why,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "wall_s": time.monotonic() - self.start,
            "said": said,
        }

    def _reaped(self, within_s):
        deadline, pause = time.monotonic() + within_s, 0.0005
        while time.monotonic() < deadline:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                return status, usage
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        os.kill(self.pid, signal.SIGKILL)
        return os.wait4(self.pid, 0)[1:]


class Server:
    """A compiler kept warm: a line of JSON in, a line of JSON out."""

    def __init__(self, workshop, argv, env, limits):
        ours, theirs = socket.socketpair()
        null = os.open("/dev/null", os.O_WRONLY)
        uid = workshop.uid()
        self.pid, self.spent = confine.fork_apart(), 0.0
        if self.pid == 0:
            try:
                job = {"argv": argv, "env": env, "limits": {**limits, "cpu_s": 1 << 30}}
                _become([theirs.fileno(), theirs.fileno(), null, null], job, uid)
            finally:
                os._exit(71)
        os.close(null)
        theirs.close()
        self.channel, self.unread = ours, b""

    def answer(self, request, cpu_s):
        """Raises OSError or ValueError where it is gone, silent or mad."""
        self.spent = server_io.cpu_s(self.pid)
        deadline = time.monotonic() + 10 * cpu_s
        self.channel.settimeout(cpu_s)
        self.channel.sendall(json.dumps(request).encode() + b"\n")
        while b"\n" not in self.unread:
            try:
                data = self.channel.recv(1 << 16)
            except TimeoutError:
                if server_io.cpu_s(self.pid) - self.spent > cpu_s or time.monotonic() > deadline:
                    raise
                continue
            if not data:
                raise OSError("it is gone")
            self.unread += data
        line, _, self.unread = self.unread.partition(b"\n")
        answer = json.loads(line)
        spent = max(0.0, server_io.cpu_s(self.pid) - self.spent)
        return {"ok": answer["ok"], "said": answer["said"][:_SAID], "cpu_s": spent, "why": ""}

    def end(self):
        """Kills it; returns the CPU seconds of its whole life."""
        self.channel.close()
        os.kill(self.pid, signal.SIGKILL)
        usage = os.wait4(self.pid, 0)[2]
        return usage.ru_utime + usage.ru_stime


def _become(descriptors, job, uid):
    """From the fork to the command: its four descriptors, its limits, no privileges."""
    parked = [os.dup(descriptor) for descriptor in descriptors]
    high = [_lifted(descriptor) for descriptor in parked]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place, inheritable=True)
    os.closerange(4, 1024)
    limits = job["limits"]
    confine.limit({**limits, "memory_mb": limits.get("address_mb") or _HUGE_MB})
    data = limits["memory_mb"] << 20
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    size = limits["file_mb"] << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    confine.surrender(uid)
    os.umask(0o022)
    os.chdir(_HOME)
    os.execve(_found(job["argv"][0]), job["argv"], {**_ENVIRONMENT, **job.get("env", {})})


def _found(command):
    """Its path; os.execvpe would touch more memory on its way, which a sandbox makes dear."""
    if "/" in command:
        return command
    places = [f"{folder}/{command}" for folder in _ENVIRONMENT["PATH"].split(":")]
    return next((place for place in places if os.access(place, os.X_OK)), places[0])


def _lifted(descriptor):
    """The descriptor's copy above those that are about to be replaced."""
    while descriptor < 4:
        descriptor = os.dup(descriptor)
    return descriptor


def _ends_of(descriptor):
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, _SAID, 0)
    if size > _SAID:
        text += b"\n...\n" * (size > 2 * _SAID) + os.pread(
            descriptor, _SAID, max(_SAID, size - _SAID)
        )
    return text.decode("utf-8", "replace")


def _packed(sources, most):
    """The plain files that are not among the sources; nothing where they are more than `most`."""
    sizes = {}
    with os.scandir(_HOME) as entries:
        for entry in entries:
            if entry.name not in sources and entry.is_file(follow_symlinks=False):
                sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
    if sum(sizes.values()) > most:
        return b""
    files = []
    for name in sizes:
        with open(os.path.join(_HOME, name), "rb") as file:
            files.append(file.read(most))
        sizes[name] = len(files[-1])
    return b"\n".join([json.dumps(sizes).encode(), b"".join(files)])


def main():
    Workshop(*server_io.entrance()).serve()


if __name__ == "__main__":
    main()
