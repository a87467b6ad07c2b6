"""The parts of the fork server that can be looked at from outside: filter, answers, outcomes."""

import errno
import functools
import json
import os
import platform
import struct
import threading

import pytest

from codex_jax.evaluate.sandbox.guest import confine, forkserver, program, server_io
from codex_jax.evaluate.sandbox.sandbox import Limits

ALLOW, KILL, DENY = 0x7FFF0000, 0x80000000, 0x00050000


def filtered(number: int, argument: int = 0, arch: int | None = None, second: int = 0) -> int:
    """What the kernel would do: a classic BPF machine over struct seccomp_data."""
    if arch is None:
        arch = confine._AUDIT_ARCH[platform.machine()]
    memory = {0: number, 4: arch, 16: argument, 24: second}
    lines = list(struct.iter_unpack("=HBBI", confine._program()))
    place = register = 0
    while True:
        code, hit, miss, operand = lines[place]
        place += 1
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
        place += hit if holds else miss


def numbers(pair):
    return pair[confine._column()]


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


def test_answers_are_read_once_and_a_lying_length_reads_no_further():
    answers = program.Answers(80)
    assert answers.append(b"one\n") and answers.news() == b"one\n" and answers.news() == b""
    assert answers.append(b"two\n")
    assert not answers.full() and not answers.append(b"x" * 60) and answers.full()
    assert answers.news() == b"two\n"
    answers.memory[:8] = b"\xff" * 8
    assert len(answers.news()) == 80 - 16 - 8
    answers.memory[:8] = bytes(8)
    assert answers.news() == b""


def call(function, *arguments):
    return program.outcome(function, json.dumps([list(arguments), {"dict": []}]))


def test_outcomes():
    assert call(lambda x: x + 1, 2) == {"value": 3}
    assert call(list.append, [1], 2) == {"value": None, "arguments": [[1, 2], 2]}
    assert call(lambda x: 1 // x, 0)["raised"][:2] == ["ZeroDivisionError"] * 2
    assert call(lambda: None, 1)["raised"][0] == "TypeError"


def test_exceptions_are_described_by_their_nearest_builtin():
    class MineError(KeyError):
        def __str__(self):
            raise RuntimeError

    assert program.described(MineError()) == [
        "KeyError",
        "MineError",
        "(its message can't be read)",
        None,
    ]
    assert program.described(OSError(28, "full"))[3] == 28


LIMITS = Limits(memory_mb=1 << 20, processes=1 << 15)


class Talk:
    """A fork server in this process, spoken to through pipes as from outside."""

    def __init__(self):
        inbox, self.to = os.pipe()
        self.back, outbox = os.pipe()
        settings = {"own_uid": False, "limits": LIMITS._asdict()}
        self.server = forkserver.Zygote(settings, inbox, outbox)
        self.said = b""  # by the program that runs, up to now

    def send(self, operation: bytes, body: bytes = b"") -> None:
        os.write(self.to, operation + struct.pack(">I", len(body)) + body)

    def receive(self) -> tuple[bytes, bytes]:
        head = self.exactly(5)
        return head[:1], self.exactly(struct.unpack(">I", head[1:])[0])

    def exactly(self, count: int) -> bytes:
        """A read may give less than was asked for."""
        parts = b""
        while len(parts) < count:
            parts += os.read(self.back, count - len(parts))
        return parts

    def parse(self, source: str) -> tuple[bytes, bytes]:
        os.write(self.to, source.encode())
        self.server.parse(len(source))
        return self.receive()

    def foresee(self, *calls: str, limits: dict) -> None:
        told = {"entry_point": "f", "calls": list(calls), "limits": limits}
        self.server.foresee(json.dumps(told).encode())

    def start(self, source: str, *calls: str, live: bool = True, **limits: object):
        """Runs a trusted program; it is confined by its limits alone."""
        operation, said = self.parse(source)
        assert operation == b"D", said
        limits = LIMITS._asdict() | limits
        self.foresee(*calls, limits=limits)
        code = said[16:]
        os.write(self.to, code)
        run = functools.partial(self.server.run, len(code), live=live)
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def answers(self, count: int) -> list[dict]:
        """The first answers, in however many frames they come."""
        while self.said.count(b"\n") < count:
            operation, body = self.receive()
            assert operation == b"A"
            self.said += body
        return [json.loads(line) for line in self.said.splitlines()[:count]]

    def end(self) -> dict:
        """How it ended; what it had answered last is added to what was `said`."""
        operation, body = self.receive()
        while operation == b"A":
            self.said += body
            operation, body = self.receive()
        assert operation == b"X"
        end, _, last = body.partition(b"\n")
        self.said += last
        return json.loads(end)


@pytest.fixture
def talk(monkeypatch):
    """Without privileges to drop, and without namespaces, so that any user can run it."""
    monkeypatch.setattr(confine, "fork_apart", os.fork)
    monkeypatch.setattr(confine, "surrender", lambda uid: None)
    monkeypatch.setattr(server_io, "_FOLDERS", ())  # whose files others may change, out here
    return Talk()


def test_calls_foreseen_and_live_are_answered_until_the_end(talk):
    thread = talk.start("def f(n):\n    return n + 1\n", '[[1], {"dict": []}]')
    assert talk.answers(2) == [{"ready": True}, {"value": 2}]
    talk.send(b"C", b'[[5], {"dict": []}]\n')
    assert talk.answers(3)[2] == {"value": 6}
    talk.send(b"E")
    end = talk.end()
    thread.join()
    assert (end["why"], end["dirty"]) == ("ended", False)


def test_a_program_asked_nothing_live_ends_by_itself(talk):
    thread = talk.start("def f(n):\n    return n + 1\n", '[[1], {"dict": []}]', live=False)
    end = talk.end()
    thread.join()
    assert (end["why"], end["exit"]) == ("closed", 0)
    assert talk.answers(2) == [{"ready": True}, {"value": 2}]


def test_what_was_answered_before_an_endless_loop_is_told_and_the_loop_ended(talk):
    source = "def f(n):\n    while n: pass\n    return n\n"
    thread = talk.start(source, '[[0], {"dict": []}]', '[[1], {"dict": []}]', cpu_s=0.5)
    end = talk.end()
    thread.join()
    assert talk.answers(2) == [{"ready": True}, {"value": 0}]
    assert end["why"] == "cpu" and end["cpu_s"] > 0.4


def test_sleepers_are_ended_by_the_clock_on_the_wall(talk):
    thread = talk.start("import time\ntime.sleep(600)\ndef f(): pass\n", cpu_s=0.2)
    assert talk.end()["why"] == "wall"
    thread.join()


def test_an_exit_is_told_with_its_status(talk):
    thread = talk.start("import os\nos._exit(3)\n")
    end = talk.end()
    thread.join()
    assert (end["why"], end["exit"], end["signal"]) == ("closed", 3, 0)


def test_equal_programs_have_equal_digests_and_bad_syntax_none(talk):
    sources = ("x = 1", "x  =  (1)  # one\n", "x = 2", "x = (", "x = \0")
    told = [talk.parse(source) for source in sources]
    assert [operation for operation, _ in told] == [b"D", b"D", b"D", b"S", b"S"]
    one, same, other = [body[:16] for _, body in told[:3]]
    assert one == same != other


def test_files_left_behind_are_removed_and_folders_told(monkeypatch, tmp_path):
    monkeypatch.setattr(server_io, "_FOLDERS", (str(tmp_path),))
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("/usr")
    assert server_io.tidied() and not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    assert not server_io.tidied()
