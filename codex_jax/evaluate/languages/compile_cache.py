"""Compiled programs kept on disk by what they were made from, so that none is compiled twice.

No sandbox sees the folder. What is put there left a sandbox before the program itself ran in it.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import time
import zlib
from typing import Any

MOST_BYTES = 512 << 20
_STALE_S = 3600.0  # after which a file half written is nobody's any more


def key(*made_from: Any) -> str:
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


class Products:
    """At most `most` bytes, of which those unused for longest go first. Processes may share it."""

    def __init__(self, folder: pathlib.Path, most: int = MOST_BYTES):
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder, self.most = folder, most
        self._new = most  # so that the first addition looks what is there

    def get(self, name: str) -> bytes | None:
        """What was put there, unless it is gone or broken."""
        path = self.folder / name
        try:
            whole = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        body = whole[4:]
        return body if whole[:4] == _checksum(body) else None

    def put(self, name: str, body: bytes) -> None:
        """A full disk is no trouble: the next run compiles again."""
        partial = self.folder / f".{secrets.token_hex(8)}"
        try:
            with partial.open("xb") as file:
                file.write(_checksum(body))
                file.write(body)
            partial.replace(self.folder / name)
        except OSError:
            partial.unlink(missing_ok=True)
        self._new += len(body)
        if self._new > self.most // 16:
            self._sweep()

    def _sweep(self) -> None:
        found, now = [], time.time()
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process may sweep, too
                status = path.stat()
                if path.name.startswith(".") and now - status.st_mtime > _STALE_S:
                    path.unlink()
                found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.most:
                break
            total -= size
            path.unlink(missing_ok=True)
        self._new = 0


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")
