"""Drops privileges before a program starts.

A fork server runs as the sandbox's own root, which PID namespaces require. A program has no
capabilities and can't gain any; it has its own PID namespace, resource limits and, if the host's
kernel is shared, a system call filter, else an IPC namespace. `harden` applies to a fork server and
all its forks what it can do without itself.
"""

import ctypes
import errno
import os
import resource
import struct

clock_factor = 1  # by how much this kernel's CPU clocks may run ahead
_LIBC = ctypes.CDLL(None, use_errno=True)
# Looked up here once: a lookup in a fork would touch a hundred pages, each to be copied.
_syscall, _capset = _LIBC.syscall, _LIBC.capset
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
_after_fork_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_CLONE_NEWIPC, _CLONE_NEWPID = 0x08000000, 0x20000000
_CLONE_VFORK, _CLONE_PARENT_SETTID = 0x00004000, 0x00100000
_NAMESPACE_FLAGS = 0x7E020080  # every CLONE_NEW*
_FORK_SERVER_FLAGS = _CLONE_NEWIPC | _CLONE_NEWPID  # programs lack the capability for these
_SIGCHLD = 17
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 22, 38, 4
_ALLOWED_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: in an empty network namespace

# System call numbers: (x86_64, aarch64). Refused because no honest program of ours needs them
# and each has been somebody's way out of a container.
_REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "open_by_handle_at": (304, 265),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "mount_setattr": (442, 442),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "memfd_create": (319, 279),  # memory that neither an address space nor /tmp accounts for
    "memfd_secret": (447, 447),
    # With these, nothing that an IPC namespace would separate can be created.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_LIMITING = (((160, 164), 16), ((302, 261), 24))  # setrlimit, prlimit64: where they say which
_CAPABILITY_HEADER = struct.pack("=Ii", 0x20080522, 0)
_NO_CAPABILITIES = bytes(24)
_CAP_KILL_ONLY = struct.pack("=6I", 1 << 5, 1 << 5, 0, 0, 0, 0)  # effective, permitted
_NOBODY = 65534
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_INDEX = 0 if os.uname().machine == "x86_64" else 1  # in the pairs above
_CLONE_NUMBER = _CLONE[_INDEX]


def _check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def fork_in_namespaces(pid_address=0, *, own_ipc=True):
    """Forks into a new PID namespace: when the child exits, all that it started ends.

    Args:
      pid_address: where the child's pid is stored, a C int. If it isn't 0, this process sleeps
        until the child has exited, and so writes to none of the memory that both share.
      own_ipc: whether into a new IPC namespace, too; the system call filter makes it needless.
    """
    flags = _CLONE_NEWPID | _SIGCHLD | (_CLONE_NEWIPC if own_ipc else 0)
    flags |= _CLONE_VFORK | _CLONE_PARENT_SETTID if pid_address else 0
    _before_fork()
    pid = _syscall(_CLONE_NUMBER, flags, 0, ctypes.c_void_p(pid_address), 0, 0)
    if pid == 0:
        _after_fork_in_child()
        return 0
    number = ctypes.get_errno()
    _after_fork_in_parent()
    if pid < 0:
        raise OSError(number, os.strerror(number))
    return pid


def harden(limits, *, own_uid, seccomp):
    """Restricts this process and all its forks; called once, when a fork server starts."""
    _check(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))  # unreadable through /proc and ptrace
    for name, amount in (
        ("FSIZE", limits["file_mb"] << 20),
        ("NOFILE", limits["open_files"]),
        ("CORE", 1),  # 0 would still have the host's kernel start its handler, as root
        ("MEMLOCK", 0),
    ):
        _lower_rlimit(getattr(resource, "RLIMIT_" + name), int(amount))
    if own_uid:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if seccomp:
        code = _seccomp_filter()
        _check(_LIBC.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_Filter(len(code) // 8, code)), 0, 0))


def _lower_rlimit(number, amount):
    hard = resource.getrlimit(number)[1]
    amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(number, (amount, amount))


def set_rlimits(limits):
    """Sets the limits of a program: CPU seconds, MiB of memory, processes."""
    cpu = (
        int(limits["cpu_s"] * clock_factor) + 2
    )  # the backstop only: whole seconds, of each process by itself
    for number, amount in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, int(limits["memory_mb"]) << 20),
        (resource.RLIMIT_NPROC, int(limits["processes"])),
    ):
        try:
            resource.setrlimit(number, (amount, amount))
        except ValueError:  # the whole sandbox has a lower hard limit
            _lower_rlimit(number, amount)


def drop_privileges(uid, *, keep_kill=False):
    """Gives up all capabilities (but that to send signals, if `keep_kill`), and root if `uid`."""
    if uid:
        os.setresuid(uid, uid, uid)
    capabilities = _CAP_KILL_ONLY if keep_kill else _NO_CAPABILITIES
    _check(_capset(_CAPABILITY_HEADER, capabilities))


class _Filter(ctypes.Structure):
    """struct sock_fprog over the classic BPF program below."""

    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def _seccomp_filter():
    """Returns classic BPF: it kills another architecture; refused calls, namespaces get EPERM."""
    load, equal, at_least, any_bit, back = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, deny = 0x7FFF0000, 0x80000000, 0x00050000

    def step(code, operand, hit=0, miss=0):
        return struct.pack("=HBBI", code, hit, miss, operand)

    lines = [
        step(load, 4),  # seccomp_data.arch
        step(equal, _AUDIT_ARCH[os.uname().machine], 1, 0),
        step(back, kill),
        step(load, 0),  # seccomp_data.nr
        step(at_least, 0x40000000, 0, 1),  # the x32 calls
        step(back, deny | errno.ENOSYS),
        step(equal, _CLONE3[_INDEX], 0, 1),  # its flags lie in memory; libc falls back to clone
        step(back, deny | errno.ENOSYS),
    ]
    for numbers in _REFUSED.values():
        lines += [step(equal, numbers[_INDEX], 0, 1), step(back, deny | errno.EPERM)]
    for numbers, offset in _LIMITING:
        lines += [
            step(equal, numbers[_INDEX], 0, 4),
            step(load, offset),
            step(equal, resource.RLIMIT_CORE, 0, 1),
            step(back, deny | errno.EPERM),
            step(back, allow),
        ]
    lines += [
        step(equal, _CLONE[_INDEX], 0, 4),
        step(load, 16),  # first argument, low half
        step(any_bit, _NAMESPACE_FLAGS & ~_FORK_SERVER_FLAGS, 0, 1),
        step(back, deny | errno.EPERM),
        step(back, allow),
        step(equal, _SOCKET[_INDEX], 0, 5),
        step(load, 16),
        *(step(equal, family, 3 - index, 0) for index, family in enumerate(_ALLOWED_FAMILIES)),
        step(back, deny | errno.EAFNOSUPPORT),
        step(back, allow),
    ]
    return b"".join(lines)
