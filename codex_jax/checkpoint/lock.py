"""The lock of a checkpoint directory: one run writes there, any number read.

Process 0 of a run owns the file trainer.lock: on this machine by flock, which the kernel drops when
the process ends, however it ends; across machines by a heartbeat in the file, as flock doesn't
reach through every shared file system, and object stores have none. An owner on another machine
whose heartbeat stands still is taken for dead, and the lock passes on.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import secrets
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Any

import jax
from etils import epath

from codex_jax import InputError
from codex_jax.checkpoint.own_files import LOCK_FILE
from codex_jax.checkpoint.processes import raise_together
from codex_jax.remote.objects import ABSENT, ConflictError, Objects
from codex_jax.remote.paths import is_remote, to_path

HEARTBEAT_SECONDS = 15.0
# Without a heartbeat. A mounted bucket may show a file as it was a minute ago (gcsfuse's
# metadata-cache-ttl-secs, 60 by default), on the owner's host and on this one.
DEAD_AFTER_SECONDS = 180.0
_DEAD_IN_BUCKET_SECONDS = 60.0  # Cloud Storage itself always shows an object as it is


def _machine() -> str:
    """The name of this boot of this machine."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    boot_id = boot.read_text().strip() if boot.exists() else ""
    return f"{socket.gethostname()} {boot_id}"


def _pid_namespace() -> str:
    """Name of the processes among which a pid means the same: containers of a machine differ."""
    link = pathlib.Path("/proc/self/ns/pid")
    return str(link.readlink()) if link.is_symlink() else ""


class FolderLock:
    """Owns a directory within a `with` block; creates it."""

    def __init__(
        self,
        directory: epath.PathLike,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        dead_after_seconds: float | None = None,
    ):
        """Takes nothing yet.

        Args:
          directory: To own.
          heartbeat_seconds: Time between heartbeats.
          dead_after_seconds: Time without one after which an owner elsewhere is dead; by default
            60 s in a bucket, 180 s elsewhere.
        """
        self.path = to_path(directory) / LOCK_FILE
        self._objects = Objects(str(directory)) if is_remote(directory) else None
        self._generation = ABSENT  # of the lock file in a bucket, as it was read or written last
        self._heartbeat_seconds = heartbeat_seconds
        usual = _DEAD_IN_BUCKET_SECONDS if self._objects else DEAD_AFTER_SECONDS
        self._dead_after_seconds = usual if dead_after_seconds is None else dead_after_seconds
        self._owner: dict[str, Any] = {
            "machine": _machine(),
            "pid": os.getpid(),
            "pid_namespace": _pid_namespace(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "token": secrets.token_hex(8),
        }
        self._file: int | None = None
        self._ended = threading.Event()
        self._successor: dict[str, Any] = {}
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """Name of this attempt in the lock's file."""
        return self._owner["token"]

    def __enter__(self) -> "FolderLock":  # noqa: PYI034  beartype refuses Self here
        refusal = None
        if jax.process_index() == 0:
            try:
                self._acquire()
            except InputError as error:
                refusal = error
            except OSError as error:
                refusal = InputError(f"{self.path}: {error.strerror}; set another checkpoint_dir")
        raise_together(refusal)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()
            if not self._successor and self._read().get("token") == self._owner["token"]:
                self._write({})
        self._release()

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def check(self) -> None:
        """Checks that the directory still belongs to this run.

        Raises:
          InputError: another run took it, for instance while this machine was suspended.
        """
        refusal = None
        if self._thread:
            with contextlib.suppress(OSError, InputError):  # it may have slept with the machine
                self._look_for_successor()
        if self._successor:
            refusal = InputError(
                f"{self.path.parent} was taken over by {_describe(self._successor)}; this run "
                "writes no more: end one of them"
            )
        raise_together(refusal)

    def _acquire(self) -> None:
        if not self._objects:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        is_held = not self._objects and self._flock()
        try:
            if (owner := self._read()) and not self._is_dead(owner, is_held):
                self._await_death(owner)
            self._write(self._beat(0))
        except ConflictError:
            raise self._refusal(self._read()) from None
        except BaseException:
            self._release()
            raise
        self._thread = threading.Thread(target=self._keep_beating, daemon=True, name="lock")
        self._thread.start()

    def _is_dead(self, owner: dict[str, Any], is_held: bool) -> bool:
        """Whether an owner was a process of this machine that has ended."""
        if owner.get("machine") != _machine():
            return False
        is_visible = owner.get("pid_namespace") == _pid_namespace()
        return is_held or (bool(self._objects) and is_visible and not _is_running(owner.get("pid")))

    def _flock(self) -> bool:
        """Returns whether flock works here; raises InputError if another process holds it."""
        self._file = os.open(os.fspath(self.path), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            self._file = None
            raise self._refusal(self._read()) from None
        except OSError:
            return False  # a file system without it
        return True

    def _await_death(self, owner: dict[str, Any]) -> None:
        """Waits until an owner elsewhere is dead.

        Raises:
          InputError: it lives.
        """
        print(
            f"{self.path.parent} belongs to {_describe(owner)}: waiting "
            f"{self._dead_after_seconds:.0f} s for a sign of life",
            file=sys.stderr,
        )
        end = time.monotonic() + self._dead_after_seconds
        while time.monotonic() < end:
            time.sleep(min(1.0, self._dead_after_seconds / 10))
            if (present := self._read()) != owner:
                if present:
                    raise self._refusal(present)
                return

    def _refusal(self, owner: dict[str, Any]) -> InputError:
        return InputError(
            f"checkpoint_dir {self.path.parent} belongs to {_describe(owner)}, which is running; "
            "set another checkpoint_dir, or end that one"
        )

    def _keep_beating(self) -> None:
        number = 0
        while not self._ended.wait(self._heartbeat_seconds):
            number += 1
            try:
                if self._look_for_successor():
                    return
                self._write(self._beat(number))
            except ConflictError:
                with contextlib.suppress(OSError, InputError):
                    self._look_for_successor()
            except (OSError, InputError):
                continue  # a file system that is away comes back

    def _look_for_successor(self) -> bool:
        present = self._read()
        if present and present.get("token") != self._owner["token"]:
            self._successor = present
        return bool(self._successor)

    def _beat(self, number: int) -> dict[str, Any]:
        return self._owner | {"heartbeat": number}

    def _read(self) -> dict[str, Any]:
        """Returns the owner; empty where there is none, or a killed process left half a line."""
        try:
            fields = json.loads(self._read_text())
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return fields if isinstance(fields, dict) else {}

    def _read_text(self) -> str:
        if not self._objects:
            return self.path.read_text(encoding="utf-8")
        content, self._generation = self._objects.read(LOCK_FILE)
        return (content or b"").decode()

    def _write(self, owner: dict[str, Any]) -> None:
        text = json.dumps(owner) + "\n" if owner else ""
        if self._objects:  # only over what was read: of two processes, one is refused
            self._generation = self._objects.write(LOCK_FILE, text.encode(), self._generation)
        elif self._file is None:
            self.path.write_text(text, encoding="utf-8")
        else:  # in place: the lock is this very file's
            os.pwrite(self._file, text.encode(), 0)
            os.ftruncate(self._file, len(text.encode()))
            os.fsync(self._file)  # a mounted bucket sends a file when it is synced


def _is_running(pid: Any) -> bool:
    return isinstance(pid, int) and pathlib.Path("/proc", str(pid)).exists()


def _describe(owner: dict[str, Any]) -> str:
    host = str(owner.get("machine", "")).split(" ")[0] or "an unknown machine"
    return f"process {owner.get('pid', '?')} on {host}, started {owner.get('started', '?')}"
