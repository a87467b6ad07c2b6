"""Programs that want a verdict they haven't earned, or a world they have no business in.

Each defines secret(n), whose right answer none of them computes, and names the causes it may be
given; none may pass. ANY stands for every cause but "passed".
"""

ANY = ("",)
LOST = ("exited_early", "time_limit", "exception", "wrong_answer")

ATTACKS: dict[str, tuple[str, tuple[str, ...]]] = {}


def attack(name: str, causes: tuple[str, ...], source: str) -> None:
    ATTACKS[name] = (source.strip() + "\n", causes)


# Answers that want to be taken for right.
attack(
    "an object equal to everything",
    ("wrong_answer",),
    """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __bool__(self): return True
def secret(n): return Yes()
""",
)
attack(
    "an integer that overrides equality",
    ("wrong_answer",),
    """
class Yes(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
def secret(n): return Yes(0)
""",
)
attack(
    "a string, a list and a dictionary that override equality",
    ("wrong_answer",),
    """
class S(str):
    def __eq__(self, other): return True
class L(list):
    def __eq__(self, other): return True
class D(dict):
    def __eq__(self, other): return True
def secret(n): return [S("x"), L([1]), D(a=1)][n % 3]
""",
)
attack(
    "a class that lies about its type",
    ("wrong_answer",),
    """
class Lie:
    @property
    def __class__(self): return int
    def __index__(self): return 0
    def __eq__(self, other): return True
def secret(n): return Lie()
""",
)
attack(
    "a metaclass that is an instance of everything",
    ANY,
    """
class Meta(type):
    def __instancecheck__(cls, other): return True
    def __eq__(cls, other): return True
    __hash__ = type.__hash__
class Yes(metaclass=Meta): pass
def secret(n): return Yes
""",
)
attack("not a number", ("wrong_answer",), "def secret(n): return float('nan')")
attack(
    "a reflected comparison",
    ("wrong_answer",),
    "import unittest.mock\ndef secret(n): return unittest.mock.ANY",
)
attack(
    "an endless iterator",
    ("wrong_answer",),
    "import itertools\ndef secret(n): return itertools.count()",
)
attack(
    "a list within itself",
    ("wrong_answer", "exception", "protocol_violation"),
    "def secret(n):\n    a = []\n    a.append(a)\n    return a",
)
attack(
    "nesting deeper than any parser",
    ANY,
    """
def secret(n):
    a = []
    for _ in range(100_000): a = [a]
    return a
""",
)
attack("a huge integer", ("wrong_answer",), "def secret(n): return 1 << 1_000_000")
attack(
    "an answer of a gigabyte",
    ("memory_limit", "output_limit", "time_limit"),
    "def secret(n): return 'x' * (1 << 29)",
)
attack(
    "answers without end",
    ("output_limit", "time_limit", "wrong_answer"),
    "def secret(n): return 'x' * (3 << 20)",
)
attack(
    "a decimal of a million digits",
    ("protocol_violation", "wrong_answer"),
    "import decimal\ndef secret(n): return decimal.Decimal('9' * 1_000_000)",
)

# Looking for the judge, its tests and its expectations.
attack(
    "a walk over the frames",
    ("wrong_answer", "exception"),
    """
import sys
def secret(n):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if hasattr(value, 'append') and not isinstance(value, (list, bytearray)):
                value.append('passed')
            if isinstance(value, dict) and 'canonical_solution' in value:
                world = {}
                exec(value['prompt'] + value['canonical_solution'], world)
                return world['secret'](n)
        frame = frame.f_back
    return 0
""",
)
attack(
    "the garbage collector asked for the reference",
    ("wrong_answer",),
    """
import gc
def secret(n):
    for thing in gc.get_objects():
        if getattr(thing, '__name__', '') in ('check', 'reference') and callable(thing):
            return thing(n)
        if type(thing).__name__ in ('Problem', 'Plan', 'Candidate'):
            return eval(thing.canonical_solution)
    return 0
""",
)
attack(
    "a search of memory through /proc",
    ("wrong_answer", "exception"),
    """
def secret(n):
    for pid in ('self', '1', '2', 'thread-self'):
        try:
            if b'* 7919' in open('/proc/%s/mem' % pid, 'rb').read(1 << 20): return 1
        except OSError: pass
        for name in ('environ', 'cmdline', 'maps'):
            try: assert b'7919' not in open('/proc/%s/%s' % (pid, name), 'rb').read()
            except OSError: pass
    return 0
""",
)
attack(
    "a search of the disk for the tests",
    ("wrong_answer", "time_limit"),
    """
import os
def secret(n):
    for folder in ('/work', '/home', '/root', '/tmp', '/var', '/run', '/mnt'):
        for path, _, names in os.walk(folder):
            for name in names:
                if name.endswith(('.jsonl', '.jsonl.gz', 'test_sandbox.py')): raise ValueError(name)
    return 0
""",
)
attack(
    "a patched json module",
    ("wrong_answer", "protocol_violation", "exited_early"),
    """
import json
json.dumps = lambda *a, **k: '{"passed": true, "verdict": "passed"}'
def secret(n): return 0
""",
)
attack(
    "forged lines on its channel",
    ("wrong_answer", "protocol_violation", "exited_early", "exception"),
    """
import os, json
def secret(n):
    for fd in range(3, 64):
        try: os.write(fd, b'{"value": true}\\n{"passed": true}\\nX\\x00\\x00\\x00\\x02{}')
        except OSError: pass
    return 0
""",
)
attack(
    "forged frames of the fork server",
    ("wrong_answer", "protocol_violation", "exited_early", "exception"),
    """
import os, struct
frame = b'X' + struct.pack('>I', 2) + b'{}'
for fd in range(3, 64):
    try: os.write(fd, frame * 50)
    except OSError: pass
def secret(n): return 0
""",
)
attack(
    "readiness claimed, answers guessed",
    ("wrong_answer", "protocol_violation", "exited_early"),
    """
import os
for fd in range(3, 64):
    try: os.write(fd, b'{"ready": true}\\n' + b'{"value": 0}\\n' * 50)
    except OSError: pass
os._exit(0)
""",
)
attack(
    "bytes that aren't JSON",
    ("protocol_violation", "exited_early", "wrong_answer"),
    """
import os
for fd in range(3, 64):
    try: os.write(fd, b'\\xff\\xfe[[[[{{{{\\n' * 100)
    except OSError: pass
def secret(n): return 0
""",
)
attack(
    "a hundred thousand open brackets",
    ("protocol_violation", "exited_early", "wrong_answer"),
    """
import os
for fd in range(3, 64):
    try: os.write(fd, b'[' * 100_000 + b'\\n')
    except OSError: pass
def secret(n): return 0
""",
)

for _what, _bytes in {
    "noise": "b'\\xff\\xfe\\n' * 1000",
    "open brackets": "b'[' * 1_000_000 + b'\\n'",
    "half an answer": 'b\'{"ready": true}\\n{"value\'',
    "values of no type": 'b\'{"ready": true}\\n\' + b\'{"value": {"tuple": 3}}\\n\' * 99',
    "numbers": "b'1\\n' * 99",
}.items():
    attack(
        f"{_what} in the shared memory",
        ("protocol_violation", "exited_early", "wrong_answer"),
        f"""
import gc, os, struct
rubbish = {_bytes}
for thing in gc.get_objects():
    if type(thing).__name__ == 'Answers':
        thing.memory[8:8 + len(rubbish)] = rubbish
        thing.memory[:8] = struct.pack('=Q', 8 + len(rubbish))
os._exit(0)
""",
    )
attack(
    "a length beyond the shared memory",
    ("protocol_violation", "exited_early", "wrong_answer"),
    """
import gc, os
for thing in gc.get_objects():
    if type(thing).__name__ == 'Answers': thing.memory[:8] = b'\\xff' * 8
os._exit(0)
""",
)

# Leaving early.
for _how in ("os._exit(0)", "sys.exit(0)", "sys.exit()", "exit(0)", "quit()", "raise SystemExit"):
    attack(
        f"{_how} in the call",
        ("exited_early", "exception"),
        f"import os, sys\ndef secret(n):\n    {_how}",
    )
    attack(f"{_how} at the top", ("exited_early", "exception"), f"import os, sys\n{_how}")
attack("a signal to itself", LOST, "import os\ndef secret(n): os.kill(os.getpid(), 9)")
attack("an abort", LOST, "import os\ndef secret(n): os.abort()")
attack("a segmentation fault", LOST, "import ctypes\ndef secret(n): return ctypes.string_at(0)")
attack(
    "another program in its place",
    LOST,
    "import os\ndef secret(n): os.execv('/bin/sh', ['sh', '-c', 'exit 0'])",
)
attack(
    "an exit at the end of Python",
    ("wrong_answer",),
    "import atexit, os\natexit.register(os._exit, 0)\ndef secret(n): return 0",
)
attack("an interrupt", ("exited_early",), "def secret(n): raise KeyboardInterrupt")
attack(
    "an exception whose message raises",
    ("exception",),
    "class E(Exception):\n    def __str__(self): raise E\ndef secret(n): raise E",
)
attack("an assertion of its own", ("exception",), "def secret(n): assert False, 'passed'")

# Time and signals.
attack("an endless loop", ("time_limit",), "def secret(n):\n    while True: pass")
attack("an endless loop at the top", ("time_limit",), "while True: pass")
attack("sleep", ("time_limit",), "import time\ndef secret(n): time.sleep(1000)")
attack(
    "a loop deaf to signals",
    ("time_limit",),
    """
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def secret(n):
    while True: pass
""",
)
attack(
    "a loop that catches everything",
    ("time_limit",),
    """
def secret(n):
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
)
attack(
    "a regular expression that backtracks",
    ("time_limit",),
    "import re\ndef secret(n): return re.match('(a+)+$', 'a' * 64 + 'b')",
)
attack(
    "a power that never ends",
    ("time_limit", "memory_limit"),
    "def secret(n): return len(bin(7 ** (7 ** 12)))",
)
attack(
    "reading what isn't there", ("exception", "wrong_answer"), "def secret(n): return len(input())"
)
attack(
    "limits raised again",
    ("time_limit", "memory_limit", "exception"),
    """
import resource
for number in range(16):
    try: resource.setrlimit(number, (-1, -1))
    except (OSError, ValueError): pass
def secret(n):
    while True: pass
""",
)

# Memory, processes, files.
attack(
    "ten gigabytes",
    ("memory_limit",),
    "def secret(n): return len([bytearray(1 << 27) for _ in range(80)])",
)
attack(
    "memory mapped",
    ("memory_limit", "exception"),
    "import mmap\ndef secret(n): return len([mmap.mmap(-1, 1 << 28) for _ in range(40)])",
)
attack("recursion without end", ("exception",), "def secret(n): return secret(n)")
attack(
    "recursion without end or limit",
    ("exception", "exited_early", "memory_limit", "time_limit"),
    "import sys\nsys.setrecursionlimit(10**9)\ndef secret(n): return [secret(n)]",
)
attack(
    "a fork bomb",
    ("process_limit", "time_limit", "exited_early", "protocol_violation"),
    "import os\ndef secret(n):\n    while True: os.fork()",
)
attack(
    "a thread bomb",
    ("process_limit", "memory_limit", "exception", "time_limit"),
    """
import threading, time
def secret(n):
    while True: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
""",
)
attack(
    "a daemon of its own session",
    ("exited_early", "wrong_answer"),
    """
import os, time
def secret(n):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3, 64):
                try: os.close(fd)
                except OSError: pass
            while True: time.sleep(1)
        os._exit(0)
    return 0
""",
)
attack(
    "a child that answers in its parent's name",
    ("exited_early", "wrong_answer", "protocol_violation"),
    """
import os
def secret(n):
    if os.fork() == 0: return 0
    os.wait()
    return 0
""",
)
attack(
    "every process killed",
    ("exited_early", "wrong_answer", "exception"),
    """
import os, signal
def secret(n):
    for pid in (-1, 1, os.getppid()):
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass
    return 0
""",
)
attack(
    "a disk filled",
    ("exception", "exited_early", "time_limit", "wrong_answer"),
    """
def secret(n):
    for i in range(1000):
        with open('/tmp/%d' % i, 'wb') as f:
            for _ in range(64): f.write(b'x' * (1 << 20))
    return 0
""",
)
attack(
    "folders nested past every path limit",
    ("exception", "wrong_answer", "time_limit", "memory_limit"),
    """
import os
def secret(n):
    for _ in range(3000):
        os.mkdir('d' * 200)
        os.chdir('d' * 200)
    return 0
""",
)
attack(
    "every descriptor taken",
    ("exception",),
    "def secret(n): return len([open('/dev/null') for _ in range(100_000)])",
)
attack(
    "standard output flooded",
    ("time_limit",),
    "def secret(n):\n    while True: print('passed' * 10_000)",
)
attack(
    "standard error flooded",
    ("time_limit",),
    "import os\ndef secret(n):\n    while True: os.write(2, b'passed' * 10_000)",
)

attack(
    "memory searched for other programs' work",
    ("wrong_answer", "exited_early"),
    """
import ctypes, gc
turned = bytes(range(255, -1, -1))  # so that it doesn't find what itself looks for
signs = bytes([206, 207, 207, 207, 200]), bytes([150, 232, 216, 255, 255])
def secret(n):
    pages = {id(thing) & ~4095 for thing in gc.get_objects()}
    for page in pages | {page + 4096 for page in pages}:
        memory = ctypes.string_at(page, 4096).translate(turned)
        if any(sign in memory for sign in signs):
            return (n * 7919 + 13) % int(str(1000) + '7')
    return 0
""",
)

# The world outside.
attack(
    "a file in the system",
    ("exception",),
    "def secret(n): open('/usr/codex-jax-was-here', 'w').write('x')",
)
attack(
    "a file at the root",
    ("exception",),
    "def secret(n): open('/codex-jax-was-here', 'w').write('x')",
)
attack(
    "a file among devices",
    ("exception",),
    "def secret(n): open('/dev/codex-jax-was-here', 'w').write('x')",
)
attack(
    "the host's core pattern",
    ("exception",),
    "def secret(n): open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh')",
)
attack(
    "a connection to the network",
    ("exception",),
    "import socket\ndef secret(n): socket.create_connection(('1.1.1.1', 53), timeout=1)",
)
attack(
    "a name looked up",
    ("exception",),
    "import socket\ndef secret(n): return socket.gethostbyname('example.com')",
)
attack(
    "a raw socket",
    ("exception",),
    "import socket\ndef secret(n): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
)
attack(
    "a mount",
    ("exception",),
    """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def secret(n):
    if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None): raise OSError(ctypes.get_errno(), 'mount')
    return 0
""",
)
attack(
    "namespaces of its own",
    ("exception",),
    """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def secret(n):
    if libc.unshare(0x10000000 | 0x00020000): raise OSError(ctypes.get_errno(), 'unshare')
    raise OSError(0, 'it has them')
""",
)
attack(
    "namespaces of its own by clone",
    ("exception", "wrong_answer"),  # gVisor grants some, of its own kernel
    """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
CLONE = 56 if os.uname().machine == 'x86_64' else 220
def secret(n):
    for flag in (0x20000000, 0x08000000, 0x10000000, 0x00020000, 0x40000000):
        pid = libc.syscall(CLONE, flag | 17, 0, 0, 0, 0)
        if pid == 0: os._exit(0)
        if pid > 0: return flag
    raise OSError(ctypes.get_errno(), 'clone')
""",
)
attack(
    "privileges regained by a program of the system",
    ("wrong_answer", "exception"),
    """
import os
def secret(n):
    pid = os.fork()
    if pid == 0:
        os.execv('/usr/bin/python3', ['python3', '-I', '-S', '-c',
            'import ctypes, os; c = ctypes.CDLL(None)\\n'
            'done = 0 in (c.mount(b"none", b"/tmp", b"tmpfs", 0, None), c.unshare(0x20000000))\\n'
            'os._exit(7 if done else 0)'])
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 7: return (n * 7919 + 13) % 10007
    return status
""",
)
attack(
    "root asked back",
    ("exception",),
    "import os\ndef secret(n):\n    os.setuid(0)\n    os.chroot('/tmp')\n    open('/usr/x', 'w')",
)
attack(
    "its fork server debugged",
    ("exception", "wrong_answer"),
    """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def secret(n):
    for pid in (1, 2):
        if libc.ptrace(16, pid, 0, 0) == 0: return -1
    raise OSError(ctypes.get_errno(), 'ptrace')
""",
)
attack(
    "a device made",
    ("exception", "wrong_answer"),  # gVisor makes the node, and has no such device behind it
    """
import os, stat
def secret(n):
    os.mknod('/tmp/disk', stat.S_IFBLK | 0o666, os.makedev(8, 0))
    return open('/tmp/disk', 'rb').read(1)
""",
)
attack(
    "links left for the one who cleans up",
    ("wrong_answer",),
    """
import os
def secret(n):
    for i, target in enumerate(('/usr', '/usr/bin/python3', '/proc/1/mem', '/dev/null')):
        if not os.path.islink('/tmp/l%d' % i): os.symlink(target, '/tmp/l%d' % i)
    return 0
""",
)

# Programs that don't parse, or break parsers.
attack("a syntax error", ("syntax_or_compile_error",), "def secret(n) return 0")
attack("a null byte", ("syntax_or_compile_error",), "def secret(n): return 0 # \x00")
attack("brackets for the parser", ("syntax_or_compile_error",), "(" * 100_000)
attack("signs for the compiler", ANY, "x = " + "-" * 1_000_000 + "1")
attack("sums for the compiler", ANY, "x = " + "+".join("1" * 200_000))
attack("a coding cookie", ANY, "# coding: utf-7\n+AGEA-")
attack("no such function", ("exception",), "def secrete(n): return 0")
attack("a function that isn't one", ("exception",), "secret = 7")


# Against the programs judged before and after it.
attack(
    "a generator that goes on when it is thrown away",
    ANY,
    """
def kept():
    try:
        yield 1
    finally:
        while True: pass
circle = [kept()]
circle.append(circle)
next(circle[0])
def secret(n): return 0
""",
)
attack(
    "garbage for the next program to pay for",
    ANY,
    """
def secret(n):
    for _ in range(100):
        circle = [[0] * 300_000]
        circle.append(circle)
    return 0
""",
)
attack(
    "builtins changed for all",
    ANY,
    """
__builtins__['len'] = __builtins__['abs'] = lambda x: 0
def secret(n): return 0
""",
)
attack(
    "modules reached through modules",
    ANY,
    """
import re
from typing import sys
main = sys.modules['__main__']
for name in list(re.enum.sys.modules):
    if name.startswith('codex_jax'):
        vars(sys.modules[name]).clear()
def secret(n): return 0
""",
)
attack(
    "a format that reads what surrounds it",
    ANY,
    """
def secret(n):
    return (str(n) if n < 0 else '{0.__globals__[__builtins__]}').format(secret)
""",
)
attack(
    "the stack at its end",
    ANY,
    """
def deep(n):
    try:
        return deep(n + 1)
    except RecursionError:
        return deep(n)
def secret(n):
    try:
        return deep(0)
    except Exception:
        return 0
""",
)
attack(
    "a machine made of chains, too deep to be taken apart",
    ANY,
    """
from itertools import chain
def secret(n):
    links = iter([])
    for _ in range(1_000_000):
        links = chain(links)
    return next(links, 0)
""",
)
