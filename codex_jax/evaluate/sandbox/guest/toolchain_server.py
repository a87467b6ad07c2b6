"""Fork server for languages other than Python: runs compilers and programs, each in a process.

Its messages are those of sandbox/protocol.py. BUILD writes files, runs commands or asks a compiler
that stays; RESTORE unpacks the artifacts of an earlier one.
"""

import contextlib
import json
import os
import sys

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import child_process, cleanup, server_io

_LOW_UID, _UIDS = 20_000, 40_000


class ToolchainServer:
    """Holds the two pipes of the protocol, which no program inherits."""

    def __init__(self, settings, inbox, outbox):
        self.settings, self.inbox, self.outbox = settings, inbox, outbox
        self.processes = 0
        self.compilers = {}

    def send(self, message, body=b""):
        """Writes a frame."""
        server_io.write_frame(self.outbox, message, body)

    def receive(self):
        """Reads a frame; the end of the pipe ends this process and its children."""
        return server_io.read_frame(self.inbox)

    def serve(self):
        """Answers frames until the pipe ends."""
        self.send(protocol.HELLO, json.dumps({"python": sys.version.split()[0]}).encode())
        while True:
            message, body = self.receive()
            if message == protocol.BUILD:
                self.compile(json.loads(body))
            elif message == protocol.RESTORE:
                self.restore(body)
            elif message == protocol.RUN:
                self.run(json.loads(body))

    def compile(self, job):
        """Leaves the artifacts in /tmp, and sends them packed if they are at most `max_bytes`.

        The sources are deleted before that, so that a program can't read its tests.
        """
        clean = cleanup.clean_scratch()
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
        if job["steps"]:
            for name in job["files"]:
                with contextlib.suppress(OSError):
                    os.unlink(_path(name))
        self.send(protocol.BUILT, json.dumps(result).encode())
        if result["ok"] and job["max_bytes"]:
            self.send(protocol.ARTIFACTS, _pack_artifacts(job["files"], job["max_bytes"]))

    def restore(self, artifacts):
        """Unpacks artifacts into /tmp."""
        clean = cleanup.clean_scratch()
        head, _, rest = artifacts.partition(b"\n")
        for name, size in json.loads(head).items():
            with open(_path(name), "wb") as file:
                file.write(rest[:size])
            os.chmod(file.name, 0o755)
            rest = rest[size:]
        self.send(protocol.BUILT, json.dumps({"ok": True, "dirty": not clean}).encode())

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
        end["dirty"] = not cleanup.clean_scratch()
        self.send(protocol.ENDED, json.dumps(end).encode() + b"\n")

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
    ToolchainServer(*server_io.open_protocol()).serve()


if __name__ == "__main__":
    main()
