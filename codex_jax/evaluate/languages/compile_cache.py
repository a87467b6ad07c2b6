"""Cache of compiled programs on disk, keyed by sources, tools and flags.

No sandbox sees the folder. Artifacts leave a sandbox before the program itself runs in it.
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

MAX_BYTES = 512 << 20
_STALE_S = 3600.0  # age at which a temporary file is deleted


def cache_key(*inputs: Any) -> str:
    """Digest of the inputs of a compilation."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


class CompileCache:
    """A folder of at most `max_bytes`, least recently used first out; processes may share it."""

    def __init__(self, folder: pathlib.Path, max_bytes: int = MAX_BYTES):
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder, self.max_bytes = folder, max_bytes
        self._bytes_since_sweep = max_bytes  # the first addition sweeps

    def get(self, name: str) -> bytes | None:
        """Returns the artifacts stored under this name, or None if absent or damaged."""
        path = self.folder / name
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        body = content[4:]
        return body if content[:4] == _checksum(body) else None

    def store(self, name: str, body: bytes) -> None:
        """Stores artifacts; on a full disk it does nothing, and the next run compiles again."""
        partial = self.folder / f".{secrets.token_hex(8)}"
        try:
            with partial.open("xb") as file:
                file.write(_checksum(body))
                file.write(body)
            partial.replace(self.folder / name)
        except OSError:
            partial.unlink(missing_ok=True)
        self._bytes_since_sweep += len(body)
        if self._bytes_since_sweep > self.max_bytes // 16:
            self._sweep()

    def _sweep(self) -> None:
        entries, now = [], time.time()
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process may sweep, too
                status = path.stat()
                if path.name.startswith(".") and now - status.st_mtime > _STALE_S:
                    path.unlink()
                entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.max_bytes:
                break
            total -= size
            path.unlink(missing_ok=True)
        self._bytes_since_sweep = 0


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")
