"""Fork server for languages other than Python: runs compilers and programs, each in a process.

Frames as in the Python fork server. In: M compile (write files, run commands or ask a compiler that
stays); W unpack artifacts of an earlier compilation; R run a program; C another call for it; E end
it. Out: H hello; G result of M or W; B artifacts: a line of JSON, name to size, then the files; A
answers of the program; X how it ended.
"""

import contextlib
import json
import os
import struct
import sys

# Sent along with this text.
from codex_jax.evaluate.sandbox.guest import child_process, server_io

_LOW_UID, _UIDS = 20_000, 40_000


class ToolchainServer:
    """Holds the two pipes of the protocol, which no program inherits."""

    def __init__(self, settings, inbox, outbox):
        self.settings, self.inbox, self.outbox = settings, inbox, outbox
        self.processes = 0
        self.compilers = {}

    def send(self, operation, body=b""):
        """Writes a frame."""
        server_io.send(self.outbox, operation + struct.pack(">I", len(body)), body)

    def receive(self):
        """Reads a frame; the end of the pipe ends this process and its children."""
        head = server_io.exactly(self.inbox, 5)
        return head[:1], server_io.exactly(self.inbox, struct.unpack(">I", head[1:])[0])

    def serve(self):
        """Answers frames until the pipe ends."""
        self.send(b"H", json.dumps({"python": sys.version.split()[0]}).encode())
        while True:
            operation, body = self.receive()
            if operation == b"M":
                self.compile(json.loads(body))
            elif operation == b"W":
                self.restore(body)
            elif operation == b"R":
                self.run(json.loads(body))

    def compile(self, job):
        """Leaves the artifacts in /tmp, and sends them packed if they are at most `max_bytes`.

        The sources are deleted afterwards, so that a program can't read its tests.
        """
        clean = server_io.tidied()
        for name, text in job["files"].items():
            with open(_path(name), "wb") as file:
                file.write(text.encode("utf-8", "surrogatepass"))  # compilers refuse lone ones
        result = {"ok": True, "output": "", "cpu_s": 0.0, "reason": "", "dirty": not clean}
        for step in job["steps"]:
            run = self.ask_compiler if "server" in step else self.run_step
            end = run(job, step)
            result = {**result, **end, "cpu_s": result["cpu_s"] + end["cpu_s"]}
            if not result["ok"]:
                break
        self.send(b"G", json.dumps(result).encode())
        if result["ok"] and job["max_bytes"]:
            self.send(b"B", _pack_artifacts(job["files"], job["max_bytes"]))
        if job["steps"]:
            for name in job["files"]:
                with contextlib.suppress(OSError):
                    os.unlink(_path(name))

    def restore(self, artifacts):
        """Unpacks artifacts into /tmp."""
        clean = server_io.tidied()
        head, _, rest = artifacts.partition(b"\n")
        for name, size in json.loads(head).items():
            with open(_path(name), "wb") as file:
                file.write(rest[:size])
            os.chmod(file.name, 0o755)
            rest = rest[size:]
        self.send(b"G", json.dumps({"ok": True, "dirty": not clean}).encode())

    def run_step(self, job, step):
        """Runs a command of a compilation."""
        command = {"argv": step["argv"], "limits": job["limits"], "env": job["env"], "fd": 1}
        end = child_process.ChildProcess(self, command, merge_outputs=True).wait()
        end["ok"] = end["exit"] == 0 and end["reason"] == "closed"
        return end

    def ask_compiler(self, job, step):
        """Sends a request to a compiler that stays; one that doesn't answer is killed."""
        name, cpu_s = json.dumps(step["server"]), job["limits"]["cpu_s"]
        if name not in self.compilers:
            self.compilers[name] = child_process.CompilerServer(
                self, step["server"], job["env"], job["limits"]
            )
        try:
            return self.compilers[name].ask(step, cpu_s)
        except (OSError, ValueError):
            spent_s = self.compilers.pop(name).kill()
        reason = "cpu" if spent_s >= cpu_s else "closed"
        output = "the compiler stopped answering"
        return {"ok": False, "output": output, "cpu_s": spent_s, "reason": reason}

    def run(self, job):
        """Runs a program, relays its calls and answers, and sends how it ended."""
        end = child_process.ChildProcess(self, job).wait(relay=True)
        end["dirty"] = not server_io.tidied()
        self.send(b"X", json.dumps(end).encode() + b"\n")

    def next_uid(self):
        """Returns the user of the next process: another one for each, or root's for all."""
        self.processes += 1
        return _LOW_UID + self.processes % _UIDS if self.settings["own_uid"] else 0


def _path(name):
    return os.path.join(child_process.HOME, name)


def _pack_artifacts(sources, max_bytes):
    """Packs the plain files that are not sources; nothing if they are more than `max_bytes`."""
    sizes = {}
    with os.scandir(child_process.HOME) as entries:
        for entry in entries:
            if entry.name not in sources and entry.is_file(follow_symlinks=False):
                sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
    if sum(sizes.values()) > max_bytes:
        return b""
    contents = []
    for name in sizes:
        with open(_path(name), "rb") as file:
            contents.append(file.read(max_bytes))
        sizes[name] = len(contents[-1])
    return b"\n".join([json.dumps(sizes).encode(), b"".join(contents)])


def main():
    """Starts the server on the two pipes of this process."""
    ToolchainServer(*server_io.entrance()).serve()


if __name__ == "__main__":
    main()
