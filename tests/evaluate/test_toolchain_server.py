"""The fork server for compilers and programs: made, run, relayed, ended."""

import json
import subprocess
import sys

import pytest

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import server_io, toolchain_server
from codex_jax.evaluate.sandbox.sandbox import Limits

LIMITS = Limits(cpu_s=20.0, memory_mb=1 << 20, processes=1 << 15)
STAYING_COMPILER = """
while read -r line; do
    case $line in
        *'"file": "spin"'*) while :; do :; done ;;
        *'"file": "malformed"'*) echo 'no JSON' ;;
        *'"file": "gone"'*) exit ;;
        *) echo '{"ok": true, "output": "made by '$$'"}' ;;
    esac
done
"""


# Without privileges to drop and without namespaces, so that any user can run it. It is a process of
# its own: a fork of the tests', with all that they have loaded, takes too long.
SERVER = """
import json, os, sys
from codex_jax.evaluate.sandbox.guest import cleanup, child_process, confine, server_io
from codex_jax.evaluate.sandbox.guest import toolchain_server

settings = json.loads(sys.argv[1])
confine.fork_in_namespaces = os.fork
confine.drop_privileges = lambda _: None
cleanup._FOLDERS = (settings["folder"],)
child_process.HOME = settings["folder"]
if settings["cpu_s"] is not None:
    server_io.cpu_s = lambda _: settings["cpu_s"]
inbox, outbox = os.dup(0), os.dup(1)
for descriptor in (0, 1):
    os.dup2(os.open("/dev/null", os.O_RDWR), descriptor)
server = toolchain_server.ToolchainServer(settings, inbox, outbox)
server.serve()
"""


class Connection:
    """The host's end of a server."""

    def __init__(self, folder, cpu_s: float | None = None):
        settings = {"own_uid": False, "host_clock": False, "folder": str(folder), "cpu_s": cpu_s}
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", SERVER, json.dumps(settings)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        assert self.receive()[0] == protocol.HELLO

    def send(self, operation: bytes, body: bytes = b"") -> None:
        server_io.write_frame(self.process.stdin.fileno(), operation, body)

    def receive(self) -> tuple[bytes, bytes]:
        """The next frame that isn't a sign of life."""
        while True:
            head = self.process.stdout.read(protocol.FRAME_HEAD.size)
            operation, size = protocol.FRAME_HEAD.unpack(head)
            body = self.process.stdout.read(size)
            if operation != protocol.CLOCK:
                return operation, body

    def compile(self, *steps: object, files=None, max_bytes: int = 0, **limits: object) -> dict:
        """Returns the result of a compilation, with its artifacts."""
        steps = [{"argv": ["sh", "-c", s]} if isinstance(s, str) else s for s in steps]
        job = {"files": files or {}, "steps": steps, "env": {}, "max_bytes": max_bytes}
        job["limits"] = LIMITS._asdict() | limits
        self.send(protocol.BUILD, json.dumps(job).encode())
        operation, body = self.receive()
        assert operation == protocol.BUILT
        end = json.loads(body)
        if end["ok"] and max_bytes:
            operation, body = self.receive()
            assert operation == protocol.ARTIFACTS
            end["artifacts"] = body
        return end

    def start(self, *argv: str, calls=(), fd: int = 3, **limits: object) -> None:
        job = {"argv": argv, "fd": fd, "env": {"MINE": "yes"}}
        job["calls"] = None if calls is None else list(calls)
        job["limits"] = LIMITS._asdict() | limits
        self.send(protocol.RUN, json.dumps(job).encode())

    def run(self, script: str, **settings) -> tuple[bytes, dict]:
        """Returns the answers of a program, and how it ended."""
        self.start("sh", "-c", script, **settings)
        return self.end()

    def end(self) -> tuple[bytes, dict]:
        answers = b""
        while True:
            operation, body = self.receive()
            if operation == protocol.ENDED:
                return answers, json.loads(body)
            assert operation == protocol.ANSWERS
            answers += body

    def close(self) -> None:
        """The end of the pipe is the end of the process, and of compilers that stay."""
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(timeout=60) == 0


@pytest.fixture
def server(tmp_path):
    server = Connection(tmp_path)
    yield server
    server.close()


def test_what_the_steps_leave_comes_back_without_the_sources(server, tmp_path):
    end = server.compile("tr a-z A-Z < in > out", "wc -c < out", files={"in": "text"}, max_bytes=99)
    assert (end["ok"], end["artifacts"]) == (True, b'{"out": 4}\nTEXT')
    assert end["output"].strip() == "4"
    assert not end["dirty"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_restored_artifacts_can_run(server, tmp_path):
    artifacts = server.compile("echo 'echo again >&3' > a; echo > b; ln -s a c", max_bytes=99)[
        "artifacts"
    ]
    (tmp_path / "other").touch()
    server.send(protocol.RESTORE, artifacts)
    assert json.loads(server.receive()[1]) == {"ok": True, "dirty": False}
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert server.run("./a")[0] == b"again\n"


def test_a_lone_surrogate_is_the_compiler_s_to_refuse(server):
    end = server.compile("od -An -tx1 in", files={"in": "\r\n\ud800"})
    assert (end["ok"], end["output"].split()) == (True, ["0d", "0a", "ed", "a0", "80"])


def test_artifacts_above_the_limit_are_left_out(server):
    assert server.compile("head -c 100 /dev/zero > out", max_bytes=99)["artifacts"] == b""


def test_the_step_that_fails_is_the_last_and_its_output_is_reported(server):
    end = server.compile("echo to one; echo to two >&2; exit 3", "touch never", max_bytes=99)
    assert (end["ok"], end["exit"], end["output"]) == (False, 3, "to one\nto two\n")


def test_folders_left_before_are_reported(server):
    assert not server.compile("mkdir left")["dirty"]
    assert server.compile()["dirty"]


def test_a_program_reads_its_calls_and_answers_on_its_descriptor(server):
    script = "read one; read two; echo $two $one $MINE >&3; echo said; echo as well >&2"
    answers, end = server.run(script, calls=["1", "2"])
    assert answers == b"2 1 yes\n"
    assert (end["reason"], end["exit"], end["signal"]) == ("closed", 0, 0)
    assert end["output"] == "said\nas well\n"
    assert not end["dirty"]


def test_where_answers_go_to_standard_output_nothing_else_does(server):
    answers, end = server.run("echo answer; echo said >&2; echo lost >&3", fd=1)
    assert (answers, end["output"]) == (b"answer\n", "said\n")


def test_a_program_has_a_process_group_of_its_own(server):
    """A signal to its group must not reach a compiler that stays for the next verdicts."""
    script = "read -r pid name state parent group rest < /proc/self/stat; test $pid = $group"
    assert server.compile(script)["ok"]


def test_live_calls_go_in_one_by_one_until_the_end(server):
    script = "while read n; do echo $((n + 1)) >&3; done; exec sleep 600"
    server.start("sh", "-c", script, calls=None)
    for number in (1, 41):
        server.send(protocol.CALL, b"%d\n" % number)
        assert server.receive() == (protocol.ANSWERS, b"%d\n" % (number + 1))
    server.send(protocol.END)
    assert server.end()[1]["reason"] == "ended"


def test_the_host_s_clock_can_end_a_program(server):
    server.start("sleep", "600")
    server.send(protocol.EXPIRE)
    assert server.end()[1]["reason"] == "cpu"


@pytest.mark.parametrize(("spent", "why"), [(9.0, "cpu"), (0.0, "wall")])
def test_cpu_time_ends_the_busy_and_the_wall_sleepers(tmp_path, spent, why):
    """The clock is ours: on a busy machine a loop may get no time at all."""
    server = Connection(tmp_path, cpu_s=spent)
    _, end = server.run("exec sleep 600", cpu_s=0.1)
    assert (end["reason"], end["signal"]) == (why, 9)
    server.close()


def test_answers_beyond_their_room_end_the_program(server):
    answers, end = server.run("exec yes >&3", answer_mb=1)
    assert end["reason"] == "output"
    assert len(answers) <= 1 << 20


def test_of_what_a_program_says_both_ends_are_kept(server):
    _, end = server.run("echo first; head -c 99999 /dev/zero; echo last; exit 4")
    assert end["output"].startswith("first\n")
    assert end["output"].endswith("last\n")
    assert "\n...\n" in end["output"]
    assert len(end["output"]) < 9000
    assert end["exit"] == 4


@pytest.mark.parametrize("command", ["no-such-command", "/etc", "/etc/hostname"])
def test_a_command_that_does_not_start_is_no_program_that_failed(server, command):
    server.start(command)
    _, end = server.end()
    assert (end["reason"], end["exit"]) == ("exec", 71)
    assert command in end["output"]


def test_a_program_that_exits_likewise_is_one(server):
    _, end = server.run("echo 'no-such-command: not found' >&2; exit 71")
    assert (end["reason"], end["exit"]) == ("closed", 71)


def test_a_program_has_its_descriptors_and_no_other(server):
    _, end = server.run("ls /proc/self/fd | wc -l")
    assert end["output"].strip() == "5"  # with that of ls for the folder


def test_files_and_links_are_deleted_and_folders_reported(server, tmp_path):
    assert not server.run("echo > file; ln -s /usr link")[1]["dirty"]
    assert not list(tmp_path.iterdir())
    assert server.run("mkdir folder")[1]["dirty"]


def test_a_compiler_that_stays_answers_again_and_again(server):
    step = {"server": ["sh", "-c", STAYING_COMPILER], "file": "x"}
    ends = [server.compile(step) for _ in range(3)]
    assert [(end["ok"], end["output"].split()[0]) for end in ends] == [(True, "made")] * 3
    assert len({end["output"] for end in ends}) == 1  # its pid


@pytest.mark.parametrize("trouble", ["malformed", "gone", "spin"])
def test_a_compiler_that_answers_no_more_is_replaced(server, trouble):
    warm = {"server": ["sh", "-c", STAYING_COMPILER]}
    end = server.compile(warm | {"file": trouble}, cpu_s=0.2)
    assert (end["ok"], end["output"]) == (False, "the compiler stopped answering")
    assert server.compile(warm | {"file": "x"})["ok"]


def test_each_process_has_another_uid():
    server = toolchain_server.ToolchainServer({"own_uid": False}, -1, -1)
    assert server.next_uid() == 0
    server.settings["own_uid"] = True
    assert server.next_uid() != server.next_uid() > 0
