"""The fork server: system call filter, answers, limits, cleanup."""

import errno
import json
import os
import platform
import struct
import subprocess
import sys

import pytest

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import cleanup, confine, program, server_io
from codex_jax.evaluate.sandbox.sandbox import Limits

ALLOW, KILL, DENY = 0x7FFF0000, 0x80000000, 0x00050000


def filtered(number: int, argument: int = 0, arch: int | None = None, second: int = 0) -> int:
    """Returns what the kernel would do: a classic BPF machine over struct seccomp_data."""
    if arch is None:
        arch = confine._AUDIT_ARCH[platform.machine()]
    memory = {0: number, 4: arch, 16: argument, 24: second}
    lines = list(struct.iter_unpack("=HBBI", confine._seccomp_filter()))
    index = register = 0
    while True:
        code, hit, miss, operand = lines[index]
        index += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            register = memory[operand]
            continue
        holds = {
            0x15: register == operand,
            0x35: register >= operand,
            0x45: bool(register & operand),
        }[code]
        index += hit if holds else miss


def numbers(pair):
    return pair[confine._INDEX]


def test_the_filter_refuses_what_it_lists_and_allows_the_rest():
    refused = {numbers(pair) for pair in confine._REFUSED.values()}
    special = {numbers(p) for p in (confine._CLONE, confine._CLONE3, confine._SOCKET)}
    for number in range(460):
        expected = DENY | errno.EPERM if number in refused else ALLOW
        if number not in special:
            assert filtered(number) == expected, number


@pytest.mark.parametrize(
    ("pair", "argument", "verdict"),
    [
        (confine._CLONE, 0x01200011, ALLOW),  # fork
        (confine._CLONE, 0x003D0F00, ALLOW),  # a thread
        (confine._CLONE, 0x10000000, DENY | errno.EPERM),  # a user namespace
        (confine._CLONE, 0x02000011, DENY | errno.EPERM),  # a cgroup namespace
        (confine._CLONE, 0x20000011, ALLOW),  # the fork server's; programs lack the capability
        (confine._CLONE3, 0, DENY | errno.ENOSYS),
        (confine._SOCKET, 1, ALLOW),
        (confine._SOCKET, 2, ALLOW),
        (confine._SOCKET, 10, ALLOW),
        (confine._SOCKET, 16, DENY | errno.EAFNOSUPPORT),  # netlink
        (confine._SOCKET, 40, DENY | errno.EAFNOSUPPORT),  # vsock: out of a virtual machine
    ],
)
def test_the_filter_looks_at_arguments_where_it_must(pair, argument, verdict):
    assert filtered(numbers(pair), argument) == verdict


def test_no_program_lets_the_host_handle_its_core_dump():
    """Limits are whatever else they set; that of core dumps stays."""
    (setrlimit, _), (prlimit, _) = confine._LIMITING
    for resource_number, verdict in ((4, DENY | errno.EPERM), (7, ALLOW), (0, ALLOW)):
        assert filtered(numbers(setrlimit), resource_number) == verdict
        assert filtered(numbers(prlimit), 4, second=resource_number) == verdict


def test_other_architectures_die():
    assert filtered(0, arch=0x40000003) == KILL  # i386, whose numbers mean other calls
    assert filtered(0x40000000 + 1) == DENY | errno.ENOSYS  # x32


def call(function, *arguments):
    return program.Caller(function).answer(json.dumps([list(arguments), {"dict": []}]))


def test_outcomes():
    assert call(lambda x: x + 1, 2) == {"value": 3}
    assert call(list.append, [1], 2) == {
        "value": None,
        "changed": [[{"same": 1}, 2], [1, 2], {"dict": []}],
    }
    assert call(lambda x: 1 // x, 0)["raised"][:2] == ["ZeroDivisionError"] * 2
    assert call(lambda: None, 1)["raised"][0] == "TypeError"
    assert call(lambda x: x, [1]) == {"value": {"same": 1}}


def test_iterators_are_drawn_from_one_by_one():
    """A draw has its own answer: an item, an exception, and what it changed in the arguments."""

    def pop_all(items):
        while items:
            yield items.pop()

    caller = program.Caller(pop_all)
    arguments = {"items": [1, [2]]}
    assert caller.answer(json.dumps([[arguments["items"]], {"dict": []}])) == {
        "value": {"iterator": 0}
    }
    second = caller.answer('{"next": 0}')
    assert second["value"] == {"same": 2}
    assert second["changed"][1] == [1]
    assert caller.answer('{"next": 0}')["changed"][1] == []
    assert caller.answer('{"next": 0}')["raised"][0] == "StopIteration"
    assert caller.answer('{"next": 1}')["raised"][0] == "IndexError"
    assert program.Caller(len).answer('{"next": 0}')["raised"][0] == "IndexError"


def test_exceptions_have_their_args_and_attributes():
    class CodeError(LookupError):
        def __init__(self, code):
            super().__init__("code", code)
            self.code = [code]

    def fail(code):
        raise CodeError(code)

    classes, args, attributes = call(fail, 7)["raised"][4]
    assert [name for _, name in classes] == ["CodeError"]
    assert args == {"tuple": ["code", 7]}
    assert attributes == {"dict": [["code", [7]]]}


def test_exceptions_are_described_by_their_nearest_builtin():
    class MineError(KeyError):
        def __str__(self):
            raise RuntimeError

    assert program.describe_exception(MineError()) == [
        "KeyError",
        "MineError",
        "(its message can't be read)",
        None,
    ]
    assert program.describe_exception(OSError(28, "full"))[3] == 28


CALL = '[[1], {"dict": []}]'
LIMITS = Limits(memory_mb=1 << 20, processes=1 << 15)


# The fork server without privileges to drop and without namespaces, so that any user can run it. It
# is a process of its own: a fork of the tests', with all that they have loaded, takes too long.
SERVER = """
import ctypes, json, os, sys, time
from codex_jax.evaluate.sandbox.guest import cleanup, confine, forkserver

def fork_and_store_pid(pid_address, *, own_ipc):
    assert own_ipc
    time.sleep(settings["delay_s"])
    pid = os.fork()
    if pid:
        ctypes.c_int.from_address(pid_address).value = pid
    return pid

settings = json.loads(sys.argv[1])
confine.fork_in_namespaces = fork_and_store_pid
confine.drop_privileges = lambda _: None
cleanup._FOLDERS = ()  # others may change their files, out here
inbox, outbox = os.dup(0), os.dup(1)
for descriptor in (0, 1):
    os.dup2(os.open("/dev/null", os.O_RDWR), descriptor)
server = forkserver.ForkServer(settings, inbox, outbox)
server.template.start()
server.start_kb = 1 << 40
server.serve()
"""


class Host:
    """The host's end of a fork server."""

    def __init__(self, delay_s: float = 0.0):
        settings = {"own_uid": False, "seccomp": False, "host_clock": False}
        settings["limits"] = LIMITS._asdict()
        command = [sys.executable, "-c", SERVER, json.dumps(settings | {"delay_s": delay_s})]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        self.answered = b""  # by the program that runs
        assert self.receive()[0] == protocol.HELLO

    def send(self, message: bytes, body: bytes = b"") -> None:
        server_io.write_frame(self.process.stdin.fileno(), message, body)

    def receive(self) -> tuple[bytes, bytes]:
        head = self.process.stdout.read(protocol.FRAME_HEAD.size)
        message, size = protocol.FRAME_HEAD.unpack(head)
        return message, self.process.stdout.read(size)

    def start(self, source: str, *calls: str, live: bool = True, **limits: object) -> None:
        """Runs a trusted program; it is confined by its limits alone."""
        task = {"entry_point": "f", "limits": LIMITS._asdict() | limits}
        self.send(protocol.SET_CALLS, "\n".join([json.dumps(task), *calls]).encode())
        self.run(source, live=live)

    def run(self, source: str, *digests: str, live: bool = False) -> None:
        head = protocol.RUN_HEAD.pack(live, len(digests))
        self.send(protocol.RUN, head + bytes.fromhex("".join(digests)) + source.encode())

    def answers(self, count: int) -> list[dict]:
        """The first answers, in however many frames they come."""
        while self.answered.count(b"\n") < count + 1:
            message, body = self.receive()
            assert message in (protocol.ANSWERS, protocol.CLOCK)
            self.answered += body if message == protocol.ANSWERS else b""
        return self.answers_so_far()[:count]

    def answers_so_far(self) -> list[dict]:
        """All but the first, which says that the program's process was there."""
        answers = [json.loads(line) for line in self.answered.splitlines()]
        assert answers[:1] == [{"started": True}][: len(answers)]
        return answers[1:]

    def end(self) -> dict:
        """Returns how it ended; adds its last answers to those before."""
        message, body = self.receive()
        while message in (protocol.ANSWERS, protocol.CLOCK):
            self.answered += body if message == protocol.ANSWERS else b""
            message, body = self.receive()
        assert message == protocol.ENDED
        end, _, last = body.partition(b"\n")
        self.answered += last
        return json.loads(end)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=30)


@pytest.fixture
def host():
    host = Host()
    yield host
    host.close()


def test_calls_set_and_live_are_answered_until_the_end(host):
    host.start("def f(n):\n    return n + 1\n", '[[1], {"dict": []}]')
    assert host.answers(2) == [{"ready": True}, {"value": 2}]
    host.send(protocol.CALL, b'[[5], {"dict": []}]\n')
    assert host.answers(3)[2] == {"value": 6}
    host.send(protocol.END)
    end = host.end()
    assert (end["reason"], end["dirty"]) == ("ended", False)


def test_a_program_without_live_calls_ends_by_itself(host):
    host.start("def f(n):\n    return n + 1\n", '[[1], {"dict": []}]', live=False)
    end = host.end()
    assert (end["reason"], end["exit"]) == ("closed", 0)
    assert host.answers_so_far() == [{"ready": True}, {"value": 2}]


def test_answers_before_an_endless_loop_arrive_and_the_loop_is_ended(host):
    source = "def f(n):\n    while n: pass\n    return n\n"
    host.start(source, '[[0], {"dict": []}]', '[[1], {"dict": []}]', cpu_s=0.5)
    end = host.end()
    assert host.answers_so_far() == [{"ready": True}, {"value": 0}]
    assert end["reason"] == "cpu"
    assert end["cpu_s"] > 0.4


def test_a_program_has_a_process_group_of_its_own(host):
    """A signal to its group must not reach the template."""
    source = "import os\ndef f(n):\n    return os.getpgid(0) == os.getpid()\n"
    host.start(source, CALL, live=False)
    assert host.end()["exit"] == 0
    assert host.answers_so_far()[1] == {"value": True}


def test_sleepers_are_ended_by_the_clock_on_the_wall(host):
    host.start("import time\ntime.sleep(600)\ndef f(): pass\n", cpu_s=0.2)
    assert host.end()["reason"] == "wall"


def test_a_fork_later_than_the_limit_is_ended_too():
    """On a busy machine the clock may run out before the program exists."""
    host = Host(delay_s=0.6)
    host.start("import time\ntime.sleep(600)\ndef f(): pass\n", cpu_s=0.2)
    assert host.end()["reason"] == "wall"
    host.close()


def test_an_exit_is_reported_with_its_status(host):
    host.start("import os\nos._exit(3)\n")
    end = host.end()
    assert (end["reason"], end["exit"], end["signal"]) == ("closed", 3, 0)


def test_more_answers_than_a_pipe_holds_arrive_in_order(host):
    source = "def f(n):\n    return [n] * 20_000\n"
    calls = [f'[[{n}], {{"dict": []}}]' for n in range(20)]
    host.start(source, *calls, live=False)
    end = host.end()
    assert (end["reason"], end["full"]) == ("closed", False)
    values = [answer["value"] for answer in host.answers_so_far()[1:]]
    assert values == [[n] * 20_000 for n in range(20)]


def test_more_answers_than_the_limit_end_the_program(host):
    source = "def f(n):\n    return 'x' * n\n"
    host.start(source, f'[[{3 << 20}], {{"dict": []}}]', answer_mb=1, live=False)
    end = host.end()
    assert (end["reason"], end["full"]) == ("output", True)


def test_bytes_that_a_program_writes_itself_are_passed_on_as_its_answers(host):
    source = """
import os, sys
frame = sys._getframe()
while 'self' not in frame.f_locals:
    frame = frame.f_back
os.write(frame.f_locals['self'].outlet, b'forged')
os._exit(0)
"""
    host.start(source, live=False)
    end = host.end()
    assert end["exit"] == 0
    assert host.answered == b'{"started": true}\nforged'


def test_a_program_inherits_nothing_of_the_one_before(host):
    """The template has neither code nor answers, whatever a program searches its memory for."""
    host.start("SECRET = 7919 * 7907\ndef f(n): return 'value-of-the-first'\n", CALL)
    assert host.answers(2)[1] == {"value": "value-of-the-first"}
    host.send(protocol.END)
    assert host.end()["reason"] == "ended"
    host.answered = b""
    search = (
        "import gc\ndef f(n):\n    wanted = 'value-of-' + 'the-first'\n"
        "    return sum(wanted in str(d) for d in gc.get_objects() if type(d) is dict)\n"
    )
    host.start(search, CALL, live=False)
    assert host.end()["exit"] == 0
    assert host.answers_so_far()[1] == {"value": 0}


def test_a_program_with_the_digest_of_another_does_not_run(host):
    host.start("x = 1\ndef f(): pass\n", live=False)
    digest = host.end()["digest"]
    host.start("x = 2\ndef f(): pass\n", live=False)
    assert host.end()["digest"] != digest
    host.run("x  =  (1)  # one\ndef f(): pass\n", "0" * 32, digest, "f" * 32)
    assert host.receive() == (protocol.EQUAL, b"\0" + bytes.fromhex(digest))


@pytest.mark.parametrize("source", ["x = (", "x = \0"])
def test_bad_syntax_is_told_and_the_next_program_runs(host, source):
    host.run(source)
    message, body = host.receive()
    assert (message, body[:1]) == (protocol.SYNTAX_ERROR, b"\0")
    assert b"Error" in body
    host.start("def f(n):\n    return n\n", CALL, live=False)
    assert (host.end()["exit"], host.answers_so_far()[1]) == (0, {"value": 1})


def test_files_left_behind_are_removed_and_folders_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(cleanup, "_FOLDERS", (str(tmp_path),))
    scratch = cleanup.Scratch()
    assert scratch.restore()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("/usr")
    assert cleanup.clean_scratch()
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    assert not scratch.restore()


def test_a_folder_is_cleaned_even_where_its_files_are_not_counted(monkeypatch, tmp_path):
    """In gVisor the number of files is always 0: the folder's time shows the change."""
    monkeypatch.setattr(cleanup, "_FOLDERS", (str(tmp_path),))
    counted = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: counted)
    scratch = cleanup.Scratch()
    (tmp_path / "note").write_text("hello")
    assert scratch.restore()
    assert not list(tmp_path.iterdir())
    assert scratch.restore()


def test_the_warm_up_answers_calls_and_leaves_no_program():
    script = (
        "import sys\nfrom codex_jax.evaluate.sandbox.guest import program\n"
        "program.warm_up()\nassert 'program' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers == [{"ready": True}, answers[1]] * program._WARM_RUNS
    assert list(answers[1]) == ["value"]
